/**
 * A step of a conversation that takes time: a hello or a token that is being checked.
 *
 * One is under way at a time. Frames that must come after it wait for it, a bounded
 * number.
 *
 * @since 0.1.0
 */
import * as Fiber from "effect/Fiber"
import type { CommandId } from "../../protocol/command/Command.ts"
import type { ClientFrame } from "../../protocol/wire/Frame.ts"
import type { SessionContext } from "../session/SessionContext.ts"

/**
 * A `command` that is none: it can be refused by its id. `path` is the field that is
 * wrong.
 *
 * @category models
 * @since 0.2.0
 */
export interface BadCommand {
  readonly type: "badCommand"
  readonly id: CommandId
  readonly path: string
  readonly detail: string
}

/**
 * What a device sent.
 *
 * @category models
 * @since 0.2.0
 */
export type Incoming = ClientFrame | BadCommand

/**
 * How many frames may wait.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxWaiting = 64

/**
 * It exists for as long as the step takes, so that an idle device does not pay for it.
 *
 * @category models
 * @since 0.1.0
 */
export class PendingStep {
  private readonly frames: Array<Incoming> = []
  private fiber: Fiber.Fiber<void, unknown> | undefined

  /** The step is this fiber. */
  follow(fiber: Fiber.Fiber<void, unknown>): void {
    this.fiber = fiber
  }

  /** The frames that wait, in their order. */
  get waiting(): ReadonlyArray<Incoming> {
    return this.frames
  }

  /** Has a frame wait; `false` when too many do. */
  wait(frame: Incoming): boolean {
    if (this.frames.length >= maxWaiting) return false
    this.frames.push(frame)
    return true
  }

  /** Gives the step up. */
  interrupt({ run }: SessionContext): void {
    if (this.fiber !== undefined) run(Fiber.interrupt(this.fiber))
  }
}
