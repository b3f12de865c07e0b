/**
 * What the page asks of whichever process serves its devices, and of each process about itself.
 */
import { Duration, Effect, Layer, Schema, Stream } from "effect"
import { AgentEvents, Identity, UserLog } from "../../index.ts"
import { DemoUser, Tokens } from "../users/DemoUsers.ts"
import { Lines, maxTime, namePattern } from "../trouble/Lines.ts"
import { Outage } from "../trouble/Outage.ts"
import { makeReport } from "../process/report.ts"
import { body, caller, json, Refused, route } from "./route.ts"

const token = route(
  "/api/token",
  Effect.gen(function*() {
    const { user } = yield* body(Schema.Struct({ user: DemoUser }), "{ user: \"ada\", \"grace\" or \"operator\" }")
    const tokens = yield* Tokens
    return json(yield* tokens.issue(user))
  })
)

/** The offsets of a run's events, as the user's log has them at this moment: what a page is held against after a reload. */
const logged = route(
  "/api/logged",
  Effect.gen(function*() {
    const user = yield* caller
    const { run } = yield* body(Schema.Struct({ run: Identity.RunId }), "{ run: the id of a run }")
    const offsets = yield* UserLog.events(user, AgentEvents.catalog).pipe(
      Stream.filter((event) => event.type !== "$gap" && event.run === run),
      Stream.map((event) => event.type === "$gap" ? 0 : event.offset),
      Stream.runCollect,
      Effect.catchTag("BrokerError", () => new Refused({ status: 503, message: "The log cannot be read just now." }))
    )
    return json({ offsets })
  })
)

const Line = Schema.String.check(Schema.isPattern(namePattern))
const Millis = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Duration.toMillis(maxTime) }))

const cut = route(
  "/api/cut",
  Effect.gen(function*() {
    yield* caller
    const { holdMs, line } = yield* body(
      Schema.Struct({ line: Line, holdMs: Millis }),
      `{ line, holdMs: 0 to ${Duration.toMillis(maxTime)} }`
    )
    const lines = yield* Lines
    return json({ lines: yield* lines.cut(line, Duration.millis(holdMs)) })
  })
)

const slow = route(
  "/api/slow",
  Effect.gen(function*() {
    yield* caller
    const { line, ms } = yield* body(
      Schema.Struct({ line: Line, ms: Millis }),
      `{ line, ms: 0 to ${Duration.toMillis(maxTime)} }`
    )
    const lines = yield* Lines
    return json({ lines: yield* lines.slow(line, Duration.millis(ms)) })
  })
)

const operator = Effect.flatMap(
  caller,
  (user) => user === "operator" ? Effect.void : new Refused({ status: 403, message: "Only the operator may do this." })
)

/** How this process is doing. */
// What there is to report is known when the routes are built, and not for requests in general.
export const stats = Layer.unwrap(
  Effect.map(
    makeReport,
    (report) => route("/api/stats", Effect.map(Effect.andThen(operator, report), (all) => json(all)))
  )
)

const outage = route(
  "/api/outage",
  Effect.gen(function*() {
    yield* operator
    const { ms } = yield* body(Schema.Struct({ ms: Millis }), `{ ms: 0 to ${Duration.toMillis(maxTime)} }`)
    const { begin } = yield* Outage
    yield* begin(Duration.millis(ms))
    return json({})
  })
)

/** Long enough for the answer to leave. */
const lastWordsMs = 50

/** Ends this process as a crash would: at once, and with nothing put in order. */
export const kill = route(
  "/api/kill",
  Effect.gen(function*() {
    yield* caller
    yield* Effect.sync(() => setTimeout(() => process.kill(process.pid, "SIGKILL"), lastWordsMs))
    return json({})
  })
)

/** What concerns devices and their connections. */
export const ofDevices = [token, logged, cut, slow, stats, outage] as const
