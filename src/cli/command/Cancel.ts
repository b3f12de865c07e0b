/**
 * `effect-emitter cancel`: stops a run, as a device of its user would.
 *
 * @since 0.2.0
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Broker } from "../../broker/Broker.ts"
import { CancelData, CommandId, type RefusedReason } from "../../protocol/command/Command.ts"
import * as Names from "../../protocol/values/Names.ts"
import * as Backends from "../backend/Backends.ts"
import { Failed } from "../output/Failed.ts"
import * as Find from "./Find.ts"
import { ofUser, out, run, told, withBroker } from "./Shared.ts"

const within = Duration.seconds(5)

const remedies: Partial<Record<RefusedReason, string>> = {
  ended: "it has ended already: effect-emitter runs USER tells how",
  notAllowed: "it was begun by plain events, or with cancellable: false, and cannot be cancelled",
  unavailable: "its process did not answer: look whether it lives; if it does not, the run ends as lost by itself"
}

/**
 * The command.
 *
 * @category constructors
 * @since 0.2.0
 */
export const cancel = Command.make(
  "cancel",
  {
    run,
    user: ofUser,
    reason: Flag.String("reason").pipe(
      told("Why, for the program of the run to read", "none"),
      Flag.withSchema(CancelData.fields.reason.schema),
      Flag.optional
    )
  },
  Effect.fnUntraced(function*({ reason, run: id, user }) {
    const to = yield* out
    const owner = yield* Find.userOfRun(yield* Backends.current, to, user, id)
    const outcome = yield* withBroker(
      owner,
      Effect.gen(function*() {
        const { commands } = yield* Broker
        if (commands === undefined) return yield* new Failed({ exit: "no", message: "This broker takes no commands" })
        const data = Option.match(reason, { onNone: () => ({}), onSome: (text) => ({ reason: text }) })
        const request = { id: CommandId.make(`cli-${yield* Names.next}`), run: id, name: "cancel", data }
        return yield* commands.send(owner, request, within)
      }),
      `whether the run stops is not known; effect-emitter runs ${owner} tells`
    )
    yield* to.value({ run: id, user: owner, ...outcome })
    if (outcome.outcome === "refused") {
      const remedy = remedies[outcome.reason]
      return yield* new Failed({
        exit: "no",
        message: `Run ${id} of ${owner} was not cancelled: ${outcome.reason}${
          outcome.message === undefined ? "" : `, ${outcome.message}`
        }`,
        ...(remedy === undefined ? {} : { remedy })
      })
    }
    yield* to.line(`run ${id} of ${owner} is told to stop`)
  })
).pipe(
  Command.withDescription("Cancels a run, wherever it runs. Its devices see that it was cancelled."),
  Command.withExamples([
    { command: "effect-emitter cancel 7f3a --user ada --reason \"maintenance\"", description: "Stop a run of ada" }
  ])
)
