/**
 * `effect-emitter revoke`: ends a user's access.
 *
 * @since 0.2.0
 */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { Broker } from "../../broker/Broker.ts"
import { out, user, withBroker } from "./Shared.ts"

const unfinished = "whether the access is revoked is not known; call it again"

/**
 * The command.
 *
 * @category constructors
 * @since 0.2.0
 */
export const revoke = Command.make(
  "revoke",
  { user },
  Effect.fnUntraced(function*({ user: of }) {
    const to = yield* out
    yield* withBroker(of, Effect.flatMap(Broker, (broker) => broker.revoke(of)), unfinished)
    yield* to.value({ user: of, revoked: true })
    yield* to.line(`the access of ${of} is revoked: all connections close, and tokens issued until now are refused`)
  })
).pipe(
  Command.withDescription(
    "Closes all connections of a user on all nodes, and refuses tokens that were issued until now. A new token is let in."
  ),
  Command.withExamples([{ command: "effect-emitter revoke ada", description: "Sign all devices of ada out" }])
)
