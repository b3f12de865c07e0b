/**
 * `effect-emitter runs`: how a user's runs stand.
 *
 * @since 0.2.0
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as UserLog from "../../broker/UserLog.ts"
import { runLines } from "../output/EventLine.ts"
import { out, told, user, withBroker } from "./Shared.ts"

/**
 * The command.
 *
 * @category constructors
 * @since 0.2.0
 */
export const runs = Command.make(
  "runs",
  {
    user,
    active: Flag.Boolean("active").pipe(
      told("Only those that have not ended", "all that are kept"),
      Flag.withDefault(false)
    ),
    parts: Flag.Boolean("parts").pipe(
      told("Show what is in each: texts, tools, requests, …", "no"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function*({ active, parts, user: of }) {
    const to = yield* out
    const { position, runs: all } = yield* withBroker(of, UserLog.runs(of), "the runs were not read to their end")
    const shown = all.filter(({ state }) => !active || state.status === "active").toSorted((a, b) =>
      a.offset - b.offset
    )
    for (const snapshot of shown) {
      yield* to.value({ run: snapshot.run, offset: snapshot.offset, state: snapshot.state })
      yield* to.line(...runLines(to, snapshot, parts))
    }
    const active_ = all.filter(({ state }) => state.status === "active").length
    yield* to.aside(
      `${all.length} runs, ${active_} active; the log is at offset ${position.offset} of epoch ${position.epoch}`
    )
  })
).pipe(
  Command.withDescription("Shows the runs of a user that the broker holds, oldest first: status, thread, times, error"),
  Command.withExamples([{ command: "effect-emitter runs ada --active --parts", description: "What is going on" }])
)
