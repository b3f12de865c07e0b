/**
 * Decides who may send which command, where the program has rules of its own: of a
 * user's devices, that is, since another user's run is unknown to them anyway.
 *
 * A gateway asks the policy that is provided to it before it passes a command on.
 * Without one every command is allowed.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { CommandPolicy } from "effect-emitter/gateway"
 *
 * const readOnly = CommandPolicy.layer(({ claims }, command) =>
 *   command.name === "cancel" || claims?.["role"] !== "viewer"
 *     ? Effect.void
 *     : Effect.fail(new CommandPolicy.NotAllowed({ detail: "viewers may only stop runs" }))
 * )
 * ```
 *
 * @since 0.2.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Command from "../../protocol/command/Command.ts"
import type { Principal } from "../authentication/Principal.ts"

/**
 * The command is refused as `notAllowed`. The device is told `detail`, of which 1,000
 * characters travel at most: it must hold nothing secret.
 *
 * @category errors
 * @since 0.2.0
 */
export class NotAllowed extends Schema.TaggedError<NotAllowed>()("NotAllowed", {
  detail: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return this.detail ?? "the command is not allowed"
  }
}

/**
 * Whether a principal may send a command: succeeds, or fails with `NotAllowed`.
 *
 * It is asked each time that the command comes, also when a device sends it again
 * because no answer arrived. So it must decide by what stays the same for the
 * ten minutes that outcomes are kept: what was accepted and is then refused would be
 * told as never done.
 *
 * It has as much time as a command has to be decided. Where it takes longer, throws or dies, the command is refused as `unavailable`, and the operator's log
 * says why; the device is not told.
 *
 * @category models
 * @since 0.2.0
 */
export type Check = (principal: Principal, command: Command.Request) => Effect.Effect<void, NotAllowed>

/**
 * Decides who may send which command.
 *
 * @category services
 * @since 0.2.0
 */
export class CommandPolicy extends Context.Service<CommandPolicy, { readonly check: Check }>()(
  "effect-emitter/CommandPolicy"
) {}

/**
 * A policy that checks by a function.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (check: Check): Layer.Layer<CommandPolicy> => Layer.succeed(CommandPolicy, { check })
