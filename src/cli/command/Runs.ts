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
import { out, user, withBroker } from "./Shared.ts"

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
      Flag.withDescription("Only those that have not ended"),
      Flag.withDefault(false)
    ),
    parts: Flag.Boolean("parts").pipe(
      Flag.withDescription("Show what is in each: texts, tools, requests, …"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function*({ active, parts, user: of }) {
    const to = yield* out
    const { position, runs: all } = yield* withBroker(of, UserLog.runs(of))
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
