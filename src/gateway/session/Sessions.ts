/**
 * The sessions of one gateway: who is there, the time that passes for them, and
 * their end.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { CloseReason } from "../../hub/Transport.ts"
import { closeCodes } from "../../protocol/wire/CloseCode.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import type { Session } from "./Session.ts"
import type { Servers } from "../admission/Servers.ts"
import type { Strangers } from "../admission/Strangers.ts"

/**
 * All sessions of one gateway.
 *
 * @category models
 * @since 0.1.0
 */
export class Sessions {
  private readonly all = new Set<Session>()
  private readonly closedByName: Record<string, number> = {}
  private readonly drainTimeoutMs: number
  private readonly strangers: Strangers
  private readonly servers: Servers
  private readonly empty = Latch.makeUnsafe(true)
  private draining = false
  // From the goodbye on: what sessions that come later are told.
  private goodbye: (() => CloseReason) | undefined

  constructor(drainTimeoutMs: number, strangers: Strangers, servers: Servers) {
    this.drainTimeoutMs = drainTimeoutMs
    this.strangers = strangers
    this.servers = servers
  }

  get size(): number {
    return this.all.size
  }

  /** Whether new devices are refused. */
  get isDraining(): boolean {
    return this.draining
  }

  /** Fails once new devices are refused. */
  readonly ensureOpen: Effect.Effect<void, Draining> = Effect.suspend(() =>
    this.draining ? Effect.fail(new Draining()) : Effect.void
  )

  /** How many sessions were closed by this side, by name of close code. */
  get closed(): Readonly<Record<string, number>> {
    return { ...this.closedByName }
  }

  /** One that comes after the goodbye is sent away as well, once it is made: nobody else would end it. */
  add(session: Session): void {
    this.all.add(session)
    this.empty.closeUnsafe()
    const { goodbye } = this
    if (goodbye === undefined) return
    queueMicrotask(() => {
      if (this.all.has(session)) session.close(goodbye())
    })
  }

  remove(session: Session): void {
    this.all.delete(session)
    if (this.all.size === 0) this.empty.openUnsafe()
  }

  count(reason: CloseReason): void {
    const { name } = reason.code
    this.closedByName[name] = (this.closedByName[name] ?? 0) + 1
  }

  /**
   * Ticks all sessions and strangers for ever. Time in which this process did not
   * run, because it was busy or its machine slept, is forgiven.
   */
  watch(clock: Clock.Clock, everyMs: number): Effect.Effect<never> {
    let last = Monotonic.millisUnsafe(clock)
    const tick = Effect.suspend(() => {
      const now = Monotonic.millisUnsafe(clock)
      const late = now - last - everyMs
      last = now
      const forgivenMs = late > everyMs ? late : 0
      const failures: Array<Cause.Cause<never>> = []
      for (const session of this.all) {
        try {
          session.tick(now, forgivenMs)
        } catch (defect) {
          session.destroy()
          failures.push(Cause.die(defect))
        }
      }
      this.strangers.tick()
      return Effect.forEach(failures, (cause) => Effect.logError("A session was cut, its tick failed", cause))
    })
    return tick.pipe(
      Effect.andThen(Effect.sleep(everyMs)),
      Effect.forever
    )
  }

  /**
   * Runs `close` once a server has stopped to listen. Such a server waits for its sockets, so those that are of no use
   * any more are cut from then on.
   */
  closeWithServers(close: Effect.Effect<void>): Effect.Effect<void> {
    const cutUnused = Effect.sync(() => this.servers.cutUnused(lastSilentMs))
    return Effect.sync(() => this.servers.allListen).pipe(
      Effect.repeat({ while: (listen) => listen, schedule: Schedule.spaced(lookForServersMs) }),
      Effect.andThen(
        Effect.all([close, Effect.repeat(cutUnused, Schedule.spaced(lookForServersMs))], {
          concurrency: "unbounded",
          discard: true
        })
      )
    )
  }

  /** Refuses new sessions, settles and closes all others, and waits until they have gone, for a bounded time. */
  drain(settle: Effect.Effect<void>, goodbye: () => CloseReason): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.draining = true
      return Effect.andThen(settle, Effect.suspend(() => this.closeAll(goodbye)))
    })
  }

  private closeAll(goodbye: () => CloseReason): Effect.Effect<void> {
    this.goodbye = goodbye
    for (const session of this.all) session.close(goodbye())
    return this.empty.await.pipe(
      Effect.timeoutOrElse({
        duration: this.drainTimeoutMs,
        orElse: () => {
          for (const session of this.all) session.destroy()
          return this.empty.await
        }
      })
    )
  }
}

const lookForServersMs = 50

/** How long a connection to a server that has stopped is left for a request that may be on its way. */
const lastSilentMs = 500

/**
 * The server goes away, and takes no new device.
 *
 * @category errors
 * @since 0.1.0
 */
export class Draining extends Schema.TaggedError<Draining>()("Draining", {}) {
  override get message() {
    return closeCodes.draining.meaning
  }
}
