/**
 * `effect-emitter publish`: emits one event of a type of the program's own.
 *
 * @since 0.2.0
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as AgentEvents from "../../protocol/event/AgentEvents.ts"
import * as Event from "../../protocol/event/Event.ts"
import { Name } from "../../protocol/event/EventDefinition.ts"
import { ThreadId } from "../../protocol/values/Identity.ts"
import { Failed } from "../output/Failed.ts"
import { short } from "../output/Out.ts"
import { out, told, user, withBroker } from "./Shared.ts"

const Data = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Json))

/**
 * The command.
 *
 * @category constructors
 * @since 0.2.0
 */
export const publish = Command.make(
  "publish",
  {
    user,
    type: Argument.String("type").pipe(
      Argument.withDescription("The name of an event of your own, such as order_placed"),
      Argument.withSchema(Name)
    ),
    data: Argument.String("data").pipe(
      Argument.withDescription("What it carries, a JSON object (default: {})"),
      Argument.withDefault("{}")
    ),
    thread: Flag.String("thread").pipe(
      told("The thread that it belongs to", "none"),
      Flag.withSchema(ThreadId),
      Flag.optional
    )
  },
  Effect.fnUntraced(function*({ data, thread, type, user: of }) {
    const to = yield* out
    if (AgentEvents.catalog.definitions.has(type)) {
      return yield* new Failed({
        exit: "usage",
        message: `${type} is a built-in event, which the program writes that has the run`,
        remedy: "publish an event of your own"
      })
    }
    const payload = yield* Effect.mapError(
      Schema.decodeUnknownEffect(Data)(data),
      () =>
        new Failed({
          exit: "usage",
          message: `DATA is no JSON object: ${short(data, 60)}`,
          remedy: `write '{"total": 12.5}', in quotes`
        })
    )
    const definition = Event.make<string, typeof Data["to"]>(type, { payload: Data.to, delivery: "critical" })
    const { emitOnce } = yield* Effect.promise(() => import("./emitOnce.ts"))
    const receipt = yield* withBroker(
      of,
      emitOnce({ userId: of, threadId: Option.getOrUndefined(thread) }, definition.make(payload)).pipe(
        Effect.catchTags({
          InvalidContext: ({ message }) => Effect.fail(new Failed({ exit: "usage", message })),
          EmitError: ({ message }) => Effect.fail(new Failed({ exit: "no", message }))
        })
      ),
      `whether the event was taken is not known; effect-emitter tail ${of} --from earliest tells`
    )
    if (receipt._tag !== "Appended") {
      return yield* new Failed({
        exit: "away",
        message: `The event was not taken (${receipt._tag})`,
        remedy: "effect-emitter doctor tells what is wrong with the broker"
      })
    }
    const { epoch, offset } = receipt.position
    yield* to.value({ user: of, type, epoch, offset })
    yield* to.line(`${type} is at offset ${offset} of ${of}'s log`)
  })
).pipe(
  Command.withDescription("Emits a critical event outside of runs, and tells where it stands in the user's log."),
  Command.withExamples([
    {
      command: `effect-emitter publish ada order_placed '{"total": 12.5}' --thread t1`,
      description: "An event of a program's own"
    }
  ])
)
