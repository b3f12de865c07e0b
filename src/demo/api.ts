/**
 * What the page asks the demo's server to do. All of it is JSON; errors are `{ "error": "…" }`, meant for the user.
 */
import { ByteSize, Duration, Effect, Layer, Redacted, Schema, Stream } from "effect"
import { HttpIncomingMessage, HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Authenticator } from "../gateway/index.ts"
import { AgentEvents, Identity, UserLog } from "../index.ts"
import { Question } from "./agent/Question.ts"
import { DemoUser, Tokens } from "./DemoUsers.ts"
import { Lines, maxTime, namePattern } from "./Lines.ts"
import { Outage } from "./Outage.ts"
import { makeReport } from "./report.ts"
import { Runs } from "./Runs.ts"

/** Room for the longest text, each character written as JSON's longest escape. */
const maxBody = ByteSize.mebibytes(2)

/** A request that is refused, with the status and the words of the answer. */
class Refused extends Schema.TaggedError<Refused>()("Refused", { status: Schema.Natural, message: Schema.String }) {}

const refuse = (status: number) => (error: { readonly message: string }) =>
  new Refused({ status, message: error.message })

const json = (body: Schema.Json, status = 200) =>
  HttpServerResponse.jsonUnsafe(body, { status, headers: { "cache-control": "no-store" } })

/** The body of a request, or what is wrong with it. */
const body = <A, RD>(schema: Schema.ConstraintDecoder<A, RD>, expected: string) =>
  HttpServerRequest.schemaBodyJson(schema).pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, maxBody),
    Effect.catchTags({
      SchemaError: () => new Refused({ status: 400, message: `The request must be JSON: ${expected}.` }),
      HttpServerError: ({ reason }) =>
        reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
          ? new Refused({ status: 413, message: "The request is too large." })
          : new Refused({ status: 400, message: `The request must be JSON: ${expected}.` })
    })
  )

/** Whose token came with the request. */
const caller = Effect.gen(function*() {
  const { headers } = yield* HttpServerRequest.HttpServerRequest
  const token = /^Bearer +(\S+)$/iu.exec(headers["authorization"] ?? "")?.[1]
  if (token === undefined) return yield* new Refused({ status: 401, message: "A token is needed." })
  const authenticator = yield* Authenticator.Authenticator
  const principal = yield* authenticator.verify(Redacted.make(token)).pipe(
    Effect.catchTags({
      Unauthenticated: () => new Refused({ status: 401, message: "The token is not good any more. Reload the page." }),
      AuthenticatorUnavailable: refuse(503)
    })
  )
  return principal.userId
})

const route = <R>(
  path: `/${string}`,
  handle: Effect.Effect<HttpServerResponse.HttpServerResponse, Refused, R>
) =>
  HttpRouter.add(
    "POST",
    path,
    Effect.catchTag(handle, "Refused", ({ message, status }) => Effect.succeed(json({ error: message }, status)))
  )

const token = route(
  "/api/token",
  Effect.gen(function*() {
    const { user } = yield* body(Schema.Struct({ user: DemoUser }), "{ user: \"ada\", \"grace\" or \"operator\" }")
    const tokens = yield* Tokens
    return json(yield* tokens.issue(user))
  })
)

const ask = route(
  "/api/ask",
  Effect.gen(function*() {
    const user = yield* caller
    const { question, text } = yield* body(
      Schema.Struct({ question: Question, text: Schema.optionalKey(Schema.String) }),
      "{ question: 1 to 500 characters, text: optional }"
    )
    const runs = yield* Runs
    const run = yield* runs.start(user, question, text).pipe(
      Effect.catchTags({ TextTooLong: refuse(413), TextEmpty: refuse(422), TooManyRuns: refuse(429) })
    )
    return json({ run }, 202)
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

// What there is to report is known when the routes are built, and not for requests in general.
const stats = Layer.unwrap(
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
const kill = route(
  "/api/kill",
  Effect.gen(function*() {
    yield* caller
    yield* Effect.sync(() => setTimeout(() => process.kill(process.pid, "SIGKILL"), lastWordsMs))
    return json({})
  })
)

/** What concerns devices and their connections. */
export const ofDevices = [token, logged, cut, slow, stats, outage] as const

/** What concerns runs. */
export const ofRuns = [ask] as const

/** What a process that runs the agent alone answers. */
export const ofWorker = [ask, stats, kill] as const

/** What a process that serves devices alone answers. */
export const ofGateway = [...ofDevices, kill] as const

/** Every route of the pages' own requests, where one process does everything. */
export const routes = [...ofDevices, ...ofRuns] as const
