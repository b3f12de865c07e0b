/**
 * The server's end of other protocols: answers an HTTP request with the events of one
 * run.
 *
 * Every request comes by the same doors as a device's: its origin, its credentials,
 * and whether its user's access was revoked since. A stream ends with the run, when
 * the credentials run out, when the access is revoked, and when the layer closes. A
 * client that leaves costs its stream, and not the run. One that reads slowly has its
 * stream wait, and holds nothing but its place in the log; one that does not take the
 * end of its stream within two seconds is cut. A gateway that drains or closes takes no
 * further streams and starts no further runs.
 *
 * @since 0.2.0
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import type { HttpServerError } from "effect/http/HttpServerError"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Broker, type BrokerError, type RunSnapshotAt } from "../../broker/Broker.ts"
import { Emitter, Emitters } from "../../emitter/Emitter.ts"
import type { Principal } from "../../gateway/authentication/Principal.ts"
import { Gateway } from "../../gateway/Gateway.ts"
import * as NodeResponse from "../../gateway/NodeResponse.ts"
import * as Refusal from "../../gateway/Refusal.ts"
import * as RequestBody from "../../gateway/RequestBody.ts"
import * as SignIn from "../../http/SignIn.ts"
import * as Command from "../../protocol/command/Command.ts"
import { ConfigError, type Part } from "../../protocol/settings/ConfigError.ts"
import type { RunId, ThreadId } from "../../protocol/values/Identity.ts"
import * as Names from "../../protocol/values/Names.ts"
import type { RunItem } from "../RunItem.ts"
import { type Cursor, cursorOf, heartbeat, knownUpTo } from "./EventStream.ts"
import { Quota } from "./Quota.ts"
import * as RunLog from "./RunLog.ts"
import * as RunStarter from "./RunStarter.ts"
import * as SentAway from "./SentAway.ts"
import { decodeLimits, type Options } from "./ServerOptions.ts"

/**
 * The answer to a request that is refused.
 *
 * @category models
 * @since 0.2.0
 */
export type Refused = HttpServerResponse.HttpServerResponse

/**
 * Which run a request asks for.
 *
 * @category models
 * @since 0.2.0
 */
export interface Wanted {
  readonly run: RunId
  readonly thread: ThreadId
}

/**
 * A program with all that it needs but its emitter, and who asks for it.
 *
 * @category models
 * @since 0.2.0
 */
export type Program = (emitter: Emitter["Service"], principal: Principal) => Effect.Effect<unknown, unknown>

/**
 * What a program needs besides the user's `Emitter` and the `Principal`.
 *
 * @category models
 * @since 0.2.0
 */
export type Needs<R> = Exclude<Exclude<R, Emitter>, SignIn.Principal>

/**
 * Takes what programs need from where routes are made, so that they can be started by
 * requests.
 *
 * @category combinators
 * @since 0.2.0
 */
export const provided = <R>(): Effect.Effect<
  (program: Effect.Effect<unknown, unknown, R>) => Program,
  never,
  Needs<R>
> =>
  // What a program fails with is its own.
  // @effect-diagnostics-next-line anyUnknownInErrorContext:off
  Effect.map(Effect.context<Needs<R>>(), (context) => (program) => (emitter, principal) =>
    // @effect-diagnostics-next-line anyUnknownInErrorContext:off
    program.pipe(
      Effect.provideService(Emitter, emitter),
      Effect.provideService(SignIn.Principal, principal),
      Effect.updateContext((given: Context.Context<never>) => Context.merge(context, given))
    ))

/**
 * What routes are made of. Whatever fails does so with the answer to the request. On a
 * gateway that drains nothing new begins: `start`, `command` and `respond` have who asks come
 * back, which another node answers.
 *
 * - `signedIn` finds out who sent a request, and gives the answer headers that let its
 *   page read it, and no other page embed it.
 * - `body` reads a request's JSON by a schema: what does not fit is answered with 400,
 *   and all that is wrong with it. Where its user is sent away before it is there, the
 *   request is refused.
 * - `ensureOpen` refuses the request of a gateway that drains or closes, with 503. `start`,
 *   `command` and `respond` do so by themselves.
 * - `cursor` is the place that `Last-Event-ID` names, if it does.
 * - `start` starts a program as the run that is wanted, unless there is one, and gives
 *   its items: with a cursor only those that come behind it count as new.
 * - `join` gives the items of a run, wherever it runs. One that is not known is waited
 *   for.
 * - `activeRun` is the active run of a thread that began last, `runs` are the states of
 *   its active runs and of the newest others.
 * - `command` sends a command, as a device of the user would.
 * - `respond` answers with what is written of a run, with comments between to keep the
 *   stream open, in gzip where that is wanted and the client takes it.
 * - `startedAlone` answers who does not read the run: that it has begun, or that its program has
 *   ended without it. It waits for 20 seconds at most, and no longer than its user may.
 * - `untilSentAway` waits until an answer to this user has to end, as `respond` does: the server
 *   closes, what they showed lapses, or their access is revoked.
 *
 * @category models
 * @since 0.2.0
 */
export interface RunServer {
  readonly signedIn: <R>(
    request: HttpServerRequest,
    serve: (principal: Principal) => Effect.Effect<HttpServerResponse.HttpServerResponse, Refused, R>
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, R>
  readonly preflight: (request: HttpServerRequest) => Effect.Effect<HttpServerResponse.HttpServerResponse>
  readonly body: <S extends Schema.ConstraintDecoder<unknown>>(
    request: HttpServerRequest,
    principal: Principal,
    schema: S
  ) => Effect.Effect<S["Type"], Refused>
  readonly ensureOpen: Effect.Effect<void, Refused>
  readonly cursor: (request: HttpServerRequest) => Effect.Effect<Cursor | undefined, Refused>
  readonly start: (
    request: HttpServerRequest,
    principal: Principal,
    wanted: Wanted,
    program: Program,
    cursor?: Cursor
  ) => Effect.Effect<Stream.Stream<RunItem, BrokerError>, Refused>
  readonly join: (principal: Principal, run: RunId, cursor?: Cursor) => Stream.Stream<RunItem, BrokerError>
  readonly activeRun: (principal: Principal, thread: ThreadId) => Effect.Effect<RunId | undefined, Refused>
  readonly runs: (principal: Principal, thread: ThreadId) => Effect.Effect<ReadonlyArray<RunSnapshotAt>, Refused>
  readonly command: (
    principal: Principal,
    command: Omit<Command.Request, "id">
  ) => Effect.Effect<Command.Outcome, Refused>
  readonly respond: (
    request: HttpServerRequest,
    principal: Principal,
    texts: Stream.Stream<string, BrokerError>,
    headers?: Readonly<Record<string, string>>
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, Refused>
  readonly startedAlone: (
    request: HttpServerRequest,
    principal: Principal,
    items: Stream.Stream<RunItem, BrokerError>,
    wanted: Wanted
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, Refused>
  readonly untilSentAway: (principal: Principal) => Effect.Effect<void, BrokerError>
}

/**
 * Makes the server's end for a part of this name. It fails with all that is wrong with
 * the options.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*(
  of: Part,
  { context = () => ({}), ...given }: Options
): Effect.fn.Return<RunServer, ConfigError, Gateway | Emitters | Broker | Scope.Scope> {
  const limits = yield* decodeLimits(of, given)
  const broker = yield* Broker
  const gateway = yield* Gateway
  if (limits.compression && gateway.encode === undefined) return yield* gatewayDoesNot(of)
  const encode = limits.compression ? gateway.encode : undefined
  const clock = yield* Clock.Clock
  const places = new Quota(limits.streamsPerUser)
  const closing = Deferred.makeUnsafe<void>()
  const emitters = yield* Emitters
  const watchers = yield* FiberSet.make()
  const watch = yield* FiberSet.runtime(watchers)()
  const runs = yield* RunStarter.make({
    broker,
    emitters,
    draining: gateway.isDraining,
    runsPerUser: limits.runsPerUser
  })

  // Runs end first, then streams may tell of it, and those that are not read are cut.
  yield* Effect.addFinalizer(() =>
    runs.close.pipe(
      Effect.andThen(untilEmpty(places)),
      Effect.ensuring(Effect.sync(() => Deferred.doneUnsafe(closing, Effect.void))),
      Effect.andThen(Effect.suspend(() => Fiber.awaitAll(Array.from(watchers))))
    )
  )

  const draining = Refusal.unavailable("draining", retryAfterMs)
  // As for devices: what would begin now would end at once.
  const ensureOpen = Effect.flatMap(
    gateway.isDraining,
    (isDraining) => isDraining ? Effect.fail(draining) : Effect.void
  )

  const untilSentAway = SentAway.make({ broker, clock, closing: Deferred.await(closing), gateway })

  const signIn = (request: HttpServerRequest): Effect.Effect<Principal, Refused> =>
    Effect.mapError(gateway.identify(request), (error) => Refusal.ofIdentifyError(error, () => retryAfterMs))

  const unavailable = () => Refusal.unavailable("brokerUnavailable", retryAfterMs)

  const start: RunServer["start"] = (request, principal, { run, thread }, program, cursor) =>
    Effect.gen(function*() {
      const { userId } = principal
      const { from, over } = yield* runs.start(
        { ...context(principal, request), userId, threadId: thread, runId: run },
        // @effect-diagnostics-next-line anyUnknownInErrorContext:off
        (emitter) => program(emitter, principal)
      )
      const now = broker.snapshot(userId, run)
      // What waited for a broker that was away is there a moment after it is back.
      const known = Effect.catch(now, () =>
        Effect.andThen(RunLog.whenBack(now), RunLog.whenBack(Effect.delay(now, "2 seconds"))))
      const missing = Stream.fromEffect(Effect.andThen(over, known)).pipe(
        Stream.filter(({ snapshot }) =>
          snapshot === undefined
        ),
        Stream.map((): RunItem => ({ _tag: "Missing", message: notBegun }))
      )
      return RunLog.upToEnd(
        Stream.merge(RunLog.follow(broker, userId, run, from._tag === "Now" ? placeOf(cursor) : from), missing, {
          haltStrategy: "left"
        })
      )
    }).pipe(
      Effect.catchTags({
        BrokerError: () => Effect.fail(unavailable()),
        Closing: () => Effect.fail(draining),
        OtherThread: ({ message }) => Effect.fail(refuse(409, "otherThread", message)),
        TooManyRuns: ({ message }) => Effect.fail(refuse(429, "tooManyRuns", message))
      })
    )

  const respond: RunServer["respond"] = (request, principal, texts, headers = {}) =>
    Effect.andThen(
      ensureOpen,
      Effect.suspend(() => {
        const { userId } = principal
        const isFull = `A user may read ${places.limit} streams at a time`
        if (places.isFull(userId)) return Effect.fail(refuse(429, "tooManyStreams", isFull))
        const heartbeats = Stream.map(Stream.tick(limits.heartbeat), () => heartbeat)
        const ended = Deferred.makeUnsafe<void, BrokerError>()
        const stream = Stream.merge(texts, heartbeats, { haltStrategy: "left" }).pipe(
          Stream.interruptWhen(Deferred.await(ended))
        )
        const { body, headers: ofBody } = encode === undefined
          ? { body: Stream.encodeText(stream), headers: {} }
          : encode(request, stream)
        // A connection that was kept open for further requests would hold up the server's end.
        NodeResponse.closeAfterwards(request)
        // The place is taken when the answer is written: an answer that never is would keep it.
        const place = Effect.acquireRelease(
          Effect.sync(() => {
            // A stream waits for its client, and would not see its end before that.
            watch(
              Effect.raceFirst(
                cutAfter(request, Deferred.into(untilSentAway(principal), ended)),
                NodeResponse.gone(request)
              )
            )
            return places.take(userId)
          }),
          (isTaken) => Effect.sync(() => isTaken && places.giveBack(userId))
        )
        const placed = Stream.unwrap(Effect.map(place, (isTaken) => isTaken ? body : Stream.empty))
        return Effect.succeed(
          HttpServerResponse.stream(placed, {
            contentType: "text/event-stream",
            headers: { "cache-control": "no-store, no-transform", "x-accel-buffering": "no", ...headers, ...ofBody }
          })
        )
      })
    )

  // It fails at once: what waits must not go on meanwhile.
  const sentAway = (principal: Principal): Effect.Effect<never, UserSentAway> =>
    untilSentAway(principal).pipe(
      Effect.catchTag("BrokerError", () => Effect.never),
      Effect.andThen(Effect.fail(new UserSentAway()))
    )
  // Who can still sign in is sent away by a server that goes.
  const refuseSentAway = (request: HttpServerRequest): Effect.Effect<never, Refused> =>
    Effect.andThen(signIn(request), Effect.fail(draining))

  return {
    signedIn: (request, serve) =>
      signIn(request).pipe(
        Effect.flatMap(serve),
        Effect.catch(Effect.succeed),
        Effect.map(guarded(gateway.cors(request)))
      ),
    preflight: gateway.preflight,
    ensureOpen,
    body: (request, principal, schema) =>
      RequestBody.text(request, {
        maxBytes: limits.maxBodyBytes,
        timeout: limits.bodyTimeout,
        unless: sentAway(principal)
      }).pipe(
        Effect.flatMap(Schema.decodeUnknownEffect(Schema.fromJsonString(schema), { errors: "all" })),
        Effect.catchTags({
          UserSentAway: () => refuseSentAway(request),
          SchemaError: (error) => Effect.fail(misfit(error)),
          HttpServerError: (error) => Effect.fail(unreadable(error, limits.maxBodyBytes)),
          TimeoutError: () => Effect.fail(refuse(408, "late", "The body did not arrive in time"))
        })
      ),
    cursor: ({ headers }) => {
      const id = headers["last-event-id"] ?? ""
      const cursor = cursorOf(id)
      return id === "" || cursor !== undefined
        ? Effect.succeed(cursor)
        : Effect.fail(refuse(400, "invalid", "Last-Event-ID: the id of an event that was received here is needed"))
    },
    start,
    join: ({ userId }, run, cursor) => RunLog.follow(broker, userId, run, placeOf(cursor)),
    activeRun: ({ userId }, thread) => Effect.mapError(RunLog.activeRun(broker, userId, thread), unavailable),
    runs: ({ userId }, thread) =>
      broker.snapshots(userId, undefined, { count: recentRuns, threads: [thread] }).pipe(
        Effect.mapBoth({
          onFailure: unavailable,
          onSuccess: ({ snapshots }) => snapshots.filter(({ state }) => state.thread === thread)
        })
      ),
    command: (principal, command) =>
      ensureOpen.pipe(
        Effect.andThen(Names.next),
        Effect.flatMap((name) =>
          Effect.mapError(
            gateway.command(principal, { ...command, id: Command.CommandId.make(name) }),
            () => Refusal.unavailable("undecided", retryAfterMs)
          )
        )
      ),
    respond,
    startedAlone: (request, principal, items, { run, thread }) =>
      // Where the log cannot be read, the connection tells of the run as soon as it can.
      Stream.runHead(items).pipe(
        Effect.catch(() => Effect.succeedNone),
        Effect.timeoutOption(startsWithin),
        Effect.map(Option.flatten),
        Effect.raceFirst(sentAway(principal)),
        Effect.catchTag("UserSentAway", () => refuseSentAway(request)),
        Effect.flatMap((head) =>
          Option.isSome(head) && head.value._tag === "Missing"
            ? Effect.fail(refuse(500, "notBegun", head.value.message))
            : Effect.succeed(HttpServerResponse.jsonUnsafe({ run, thread }, { status: 202 }))
        )
      ),
    untilSentAway
  }
})

// Its user was sent away while a request waited.
class UserSentAway extends Data.TaggedError("UserSentAway") {}

const gatewayDoesNot = (of: Part): ConfigError =>
  new ConfigError({
    of,
    issues: [{
      path: "compression",
      message: "the gateway does not compress, and its memory is what streams are compressed within",
      value: "true",
      remedy: "enable it there too, Gateway.layer({ compression: { enabled: true } }), or leave it out"
    }]
  })

const exposed = "access-control-expose-headers"

// A page of an allowed origin reads the headers that the answer names, besides those of every answer. No other page
// may embed it, and nobody takes it for something else.
const guarded = (cors: Readonly<Record<string, string>>) => (response: HttpServerResponse.HttpServerResponse) => {
  const both = (header: string) => {
    const names = [response.headers[header], cors[header]].filter((name) => name !== undefined)
    return names.length > 0 ? { [header]: names.join(", ") } : {}
  }
  return HttpServerResponse.setHeaders(response, {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    ...cors,
    ...both(exposed),
    ...both("vary")
  })
}

const placeOf = (cursor: Cursor | undefined): RunLog.From =>
  cursor === undefined ? { _tag: "Now" } : { _tag: "After", position: knownUpTo(cursor) }

/** How many runs of a thread that ended are looked at. */
const recentRuns = 8

const notBegun = "The program has ended without beginning the run"

const retryAfterMs = 1_000

// A client that does not take the end of its answer in this time is cut.
const endWithin = "2 seconds"

const cutAfter = <A, E>(request: HttpServerRequest, end: Effect.Effect<A, E>): Effect.Effect<void, E> =>
  Effect.andThen(
    end,
    Effect.delay(Effect.sync(() => void NodeHttpServerRequest.toServerResponse(request).destroy()), endWithin)
  )

// Streams see the endings of runs within this time, or never.
const untilEmpty = (places: Quota): Effect.Effect<void> =>
  Effect.sync(() => places.size).pipe(
    Effect.repeat({ while: (size) => size > 0, schedule: Schedule.spaced("10 millis") }),
    Effect.timeoutOption("1 second"),
    Effect.asVoid
  )

/**
 * The answer to a request that makes no sense, or not now: a JSON body of `code` and
 * `message`.
 *
 * @category responses
 * @since 0.2.0
 */
export const refuse = (status: number, code: string, message: string, more: object = {}): Refused =>
  HttpServerResponse.jsonUnsafe({ code, message, ...more }, { status, headers: { "cache-control": "no-store" } })

/**
 * Whether a client wants to know that its run has begun, and not read it: it is told of runs by a connection.
 *
 * @category responses
 * @since 0.2.0
 */
export const isStartAlone = ({ headers: { accept = "*/*" } }: HttpServerRequest): boolean =>
  !/event-stream|\*\/\*/u.test(accept) && /application\/json/u.test(accept)

const startsWithin = "20 seconds"

const toStandard = SchemaIssue.makeFormatterStandardSchemaV1()

const misfit = ({ issue }: Schema.SchemaError): Refused => {
  const issues = toStandard(issue).issues.slice(0, 32).map(({ message, path = [] }) => ({
    path: path.map((segment) => String(typeof segment === "object" ? segment.key : segment)).join("."),
    message: message.replaceAll(/\s*\n\s*/gu, " ").slice(0, 500)
  }))
  const lines = issues.map(({ message, path }) => path === "" ? message : `${path}: ${message}`)
  return refuse(400, "invalid", lines.join("; "), { issues })
}

const unreadable = ({ reason }: HttpServerError, maxBytes: number): Refused =>
  reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
    ? refuse(413, "tooLarge", `A request may have ${maxBytes} bytes`)
    : refuse(400, "invalid", "The body cannot be read")
