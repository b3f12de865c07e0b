/**
 * A user's log, and each run of it, as a stream of the Durable Streams protocol, for
 * reading: whoever has a client of that protocol reads events with it.
 *
 * ```ts
 * import { Layer } from "effect"
 * import { DurableStreams } from "effect-emitter/durable-streams"
 * import { Gateway } from "effect-emitter/gateway"
 *
 * const routes = DurableStreams.layer({ path: "/streams" }).pipe(Layer.provideMerge(Gateway.layer()))
 * ```
 *
 * - `{path}` is the log of the user who asks, `{path}/runs/{runId}` one of the user's
 *   runs: 404 where it is not known. A message is an event, as an `events` frame has it.
 * - `GET ?offset=` reads behind an offset: `-1` is the beginning of what the log holds,
 *   `now` its end. With `live=long-poll` it waits for the next events, with `live=sse`
 *   they come as they are emitted, for a minute.
 * - An offset means something while the log holds it: then comes 410, and a reader begins
 *   at `-1` again, or asks for the run's state elsewhere.
 * - A run's stream is closed with its ending; a user's log never is.
 * - Nothing is written by it: other methods than `GET`, `HEAD` and `OPTIONS` are answered
 *   with 405.
 *
 * Requests come by the gateway's origins and credentials.
 *
 * @see https://github.com/durable-streams/durable-streams
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Broker, type BrokerError } from "../../broker/Broker.ts"
import * as LogReader from "../../broker/LogReader.ts"
import type { Emitters } from "../../emitter/Emitter.ts"
import type { Gateway } from "../../gateway/Gateway.ts"
import * as Refusal from "../../gateway/Refusal.ts"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import { decoder, TimeInput } from "../../protocol/settings/Settings.ts"
import { RunId, type UserId } from "../../protocol/values/Identity.ts"
import type { Position } from "../../protocol/values/Position.ts"
import * as PositionText from "../../protocol/values/PositionText.ts"
import type { Given } from "../../protocol/values/Present.ts"
import { toJson } from "../../protocol/wire/Envelope.ts"
import { Quota } from "../server/Quota.ts"
import * as RunServer from "../server/RunServer.ts"
import * as ServerOptions from "../server/ServerOptions.ts"

/**
 * The limits, as a schema.
 *
 * @category options
 * @since 0.2.0
 */
export const Limits = Schema.Struct({
  heartbeat: ServerOptions.Limits.fields.heartbeat,
  streamsPerUser: ServerOptions.Limits.fields.streamsPerUser,
  compression: ServerOptions.Limits.fields.compression,
  longPoll: TimeInput.pipe(Schema.withDecodingDefault(Effect.succeed("20 seconds")))
})

/**
 * Options of `layer`:
 *
 * - `path` of the user's log.
 * - `longPoll`: how long a long poll waits for events, `"20 seconds"` by default.
 * - `heartbeat`: how often a comment keeps a stream open, `"15 seconds"` by default.
 * - `streamsPerUser`: how many answers this layer writes to a user live at a time, and in
 *   how many more a user may wait, 20 by default. What is more is refused with status 429.
 * - `compression`: whether live streams are in gzip for clients that take it, no. They are
 *   compressed as the gateway's own are, whose `compression` has to be enabled as well.
 *
 * @category options
 * @since 0.2.0
 */
export type Options = Given<Partial<typeof Limits.Encoded>> & { readonly path: `/${string}` }

type Refused = HttpServerResponse.HttpServerResponse

/** What came behind an offset, as JSON texts. */
interface Page {
  readonly events: ReadonlyArray<string>
  readonly next: Position
  readonly isUpToDate: boolean
  readonly isClosed: boolean
}

/**
 * The routes of the streams. It fails with all that is wrong with the options.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (
  { path, ...given }: Options
): Layer.Layer<never, ConfigError, HttpRouter.HttpRouter | Gateway | Emitters | Broker> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const router = yield* HttpRouter.HttpRouter
    const broker = yield* Broker
    const { longPoll, ...limits } = yield* decodeLimits(given)
    const server = yield* RunServer.make("DurableStreams", limits)

    const places = new Quota(limits.streamsPerUser)
    const tooMany = refuse(429, "tooManyStreams", `A user may wait for events in ${places.limit} requests at a time`)
    const waiting = <A>(user: UserId, effect: Effect.Effect<A, Refused>): Effect.Effect<A, Refused> =>
      Effect.acquireUseRelease(
        Effect.suspend(() => places.take(user) ? Effect.void : Effect.fail(tooMany)),
        () => effect,
        () => Effect.sync(() => places.giveBack(user))
      )

    const answer = (request: HttpServerRequest, run: string | undefined) => {
      if (request.method === "OPTIONS") return server.preflight(request)
      return server.signedIn(request, (principal) =>
        Effect.gen(function*() {
          if (request.method !== "GET" && request.method !== "HEAD") return notAllowed
          const reader: Reader = { broker, user: principal.userId, run: yield* runOf(run) }
          const query = new URL(request.url, "http://host").searchParams
          if (request.method === "HEAD") return yield* head(reader)
          const asked = yield* askedOf(reader, query)
          switch (asked.live) {
            case "sse":
              // What is refused is so before the stream begins.
              yield* read(reader, asked.after, asked.isGiven)
              return yield* server.respond(request, principal, events(reader, asked), sseHeaders)
            case "long-poll":
              yield* server.ensureOpen
              return yield* waiting(reader.user, poll(reader, asked, longPoll, server.untilSentAway(principal)))
            case undefined:
              return yield* catchUp(reader, asked, request.headers["if-none-match"])
          }
        }))
    }
    yield* router.add("*", path, (request) => answer(request, undefined))
    yield* router.add(
      "*",
      `${path === "/" ? "" : path}/runs/:runId` as `/${string}`,
      (request) => Effect.flatMap(HttpRouter.params, ({ runId = "" }) => answer(request, runId))
    )
  }))

const decodeLimits = decoder(Limits, { of: "DurableStreams", environment: "" })

interface Reader {
  readonly broker: Broker["Service"]
  readonly user: UserId
  readonly run: RunId | undefined
}

interface Asked {
  readonly after: Position
  /** Whether the offset is one that this server gave. */
  readonly isGiven: boolean
  /** Whether the end of the log was asked for, wherever it is. */
  readonly isNow: boolean
  readonly live: "sse" | "long-poll" | undefined
  readonly cursor: number | undefined
}

const refuse = (status: number, code: string, message: string): Refused =>
  HttpServerResponse.jsonUnsafe({ code, message }, { status, headers: { "cache-control": "no-store" } })

const unknownRun = refuse(404, "unknownRun", "The user has no run of this id")

const gone = refuse(410, "gone", "The log does not hold this offset any more: begin at -1")

const notAllowed = HttpServerResponse.setHeader(
  refuse(405, "readOnly", "The stream is read by GET and HEAD, and written by the program alone"),
  "allow",
  "GET, HEAD, OPTIONS"
)

const unavailable = () => Refusal.unavailable("brokerUnavailable", 1_000)

const asked = <A>(effect: Effect.Effect<A, BrokerError>): Effect.Effect<A, Refused> =>
  Effect.mapError(effect, unavailable)

const isRun = Schema.is(RunId)

const runOf = (run: string | undefined): Effect.Effect<RunId | undefined, Refused> =>
  run === undefined ? Effect.succeed(undefined) : isRun(run) ? Effect.succeed(run) : Effect.fail(unknownRun)

// Padded, so that offsets of an epoch sort as texts.
const toOffset = ({ epoch, offset }: Position): string => `${epoch}~${String(offset).padStart(16, "0")}`

const fromOffset = (text: string): Position | undefined => {
  const [, epoch = "", digits = ""] = /^([\w-]{1,32})~([0-9]{16})$/u.exec(text) ?? []
  return PositionText.fromText(`${epoch}:${Number(digits)}`)
}

const askedOf = (reader: Reader, query: URLSearchParams): Effect.Effect<Asked, Refused> =>
  Effect.gen(function*() {
    const invalid = (message: string) => Effect.fail(refuse(400, "invalid", message))
    const [offset, ...others] = query.getAll("offset")
    const live = query.get("live") ?? undefined
    const digits = query.get("cursor") ?? undefined
    if (others.length > 0) return yield* invalid("offset: one at most is needed")
    if (live !== undefined && live !== "sse" && live !== "long-poll") {
      return yield* invalid("live: sse or long-poll is needed")
    }
    if (live !== undefined && offset === undefined) return yield* invalid("offset: it is needed where live is given")
    const cursor = digits !== undefined && /^[0-9]{1,15}$/u.test(digits) ? Number(digits) : undefined
    const now = yield* asked(reader.broker.head(reader.user))
    if (offset === "now") return { after: now, isGiven: false, isNow: true, live, cursor }
    if (offset === undefined || offset === "-1") {
      return { after: { epoch: now.epoch, offset: 0 }, isGiven: false, isNow: false, live, cursor }
    }
    const after = fromOffset(offset)
    return after === undefined
      ? yield* invalid("offset: -1, now or an offset that was given here is needed")
      : { after, isGiven: true, isNow: false, live, cursor }
  })

const limits = { maxEvents: 1_000, maxBytes: 1024 * 1024 }

const read = ({ broker, run, user }: Reader, after: Position, isGiven: boolean): Effect.Effect<Page, Refused> =>
  Effect.gen(function*() {
    const known = run === undefined ? undefined : (yield* asked(broker.snapshot(user, run))).snapshot
    if (run !== undefined && known === undefined) return yield* Effect.fail(unknownRun)
    const { entries, gap, head, next } = yield* asked(broker.pull(user, after, limits))
    if (gap !== undefined && isGiven) return yield* Effect.fail(gone)
    return {
      events: entries.filter((entry) => run === undefined || entry.run === run).map((entry) =>
        toJson(entry.offset, entry.body)
      ),
      next,
      isUpToDate: next.offset >= head,
      isClosed: known !== undefined && known.state.status !== "active" && next.offset >= known.offset
    }
  })

const headersOf = ({ isClosed, isUpToDate, next }: Page): Record<string, string> => ({
  "stream-next-offset": toOffset(next),
  ...(isUpToDate || isClosed ? { "stream-up-to-date": "true" } : {}),
  ...(isClosed ? { "stream-closed": "true" } : {}),
  "access-control-expose-headers": "etag, stream-closed, stream-cursor, stream-next-offset, stream-up-to-date"
})

// Later than what the reader has, so that no cache answers it with what it had.
const cursorAfter = (cursor: number | undefined): Effect.Effect<number> =>
  Effect.gen(function*() {
    const interval = Math.floor((yield* Clock.currentTimeMillis) / 20_000)
    if (cursor === undefined || cursor < interval) return interval
    return cursor + 1 + (yield* Random.nextIntBetween(0, 180))
  })

const json = (page: Page, headers: Record<string, string>): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(`[${page.events.join(",")}]`, {
    contentType: "application/json",
    headers: { ...headersOf(page), ...headers }
  })

const head = (reader: Reader): Effect.Effect<HttpServerResponse.HttpServerResponse, Refused> =>
  Effect.gen(function*() {
    const now = yield* asked(reader.broker.head(reader.user))
    const page = yield* read(reader, now, false)
    return HttpServerResponse.empty({
      status: 200,
      headers: { ...headersOf(page), "content-type": "application/json", "cache-control": "no-store" }
    })
  })

const catchUp = (
  reader: Reader,
  { after, isGiven, isNow }: Asked,
  known: string | undefined
): Effect.Effect<HttpServerResponse.HttpServerResponse, Refused> =>
  Effect.map(read(reader, after, isGiven), (page) => {
    const etag = `"${toOffset(after)}:${toOffset(page.next)}${page.isClosed ? ":c" : ""}"`
    // What a user reads is for that user alone. Where the end is, nobody knows from before.
    const headers = { etag, "cache-control": isNow ? "no-store" : "private, no-cache" }
    return known === etag
      ? HttpServerResponse.empty({ status: 304, headers: { ...headersOf(page), ...headers } })
      : json(page, headers)
  })

/** Pages behind an offset: the first at once, others when there is something in them, or the stream is closed. */
const pages = (reader: Reader, { after, isGiven }: Asked): Stream.Stream<Page, Refused> => {
  const wakes = LogReader.read(reader.broker, reader.user, Option.some(after)).pipe(
    Stream.mapError(unavailable),
    Stream.chunks,
    Stream.map(() => undefined)
  )
  return Stream.concat(Stream.make(undefined), wakes).pipe(
    Stream.mapAccumEffect(
      (): Position | undefined => undefined,
      (at) => Effect.map(read(reader, at ?? after, isGiven || at !== undefined), (page) => [page.next, [page]] as const)
    ),
    Stream.zipWithIndex,
    Stream.filter(([{ events, isClosed }, index]) => index === 0 || events.length > 0 || isClosed),
    Stream.map(([page]) => page),
    Stream.takeUntil(({ isClosed }) => isClosed)
  )
}

const poll = (
  reader: Reader,
  request: Asked,
  longPoll: Duration.Duration,
  sentAway: Effect.Effect<void, BrokerError>
): Effect.Effect<HttpServerResponse.HttpServerResponse, Refused> =>
  Effect.gen(function*() {
    const first = yield* read(reader, request.after, request.isGiven)
    const isIn = ({ events, isClosed }: Page) => events.length > 0 || isClosed
    const page = isIn(first)
      ? first
      : yield* pages(reader, { ...request, after: first.next, isGiven: true }).pipe(
        Stream.filter(isIn),
        Stream.interruptWhen(asked(sentAway)),
        Stream.runHead,
        Effect.timeoutOption(longPoll),
        Effect.map((found) => Option.getOrElse(Option.flatten(found), () => first))
      )
    const cursor = page.isClosed ? {} : { "stream-cursor": String(yield* cursorAfter(request.cursor)) }
    const headers = { ...cursor, "cache-control": "no-store" }
    return page.events.length > 0
      ? json(page, headers)
      : HttpServerResponse.empty({ status: 204, headers: { ...headersOf(page), ...headers } })
  })

const sseHeaders = { "cache-control": "no-cache, no-store, no-transform" }

const events = (reader: Reader, request: Asked): Stream.Stream<string, BrokerError> =>
  pages(reader, request).pipe(
    Stream.mapEffect((page) =>
      Effect.map(cursorAfter(request.cursor), (cursor) => {
        const { events, isClosed, isUpToDate, next } = page
        const control = {
          streamNextOffset: toOffset(next),
          ...(isClosed ? { streamClosed: true } : { streamCursor: String(cursor) }),
          ...(isUpToDate || isClosed ? { upToDate: true } : {})
        }
        const data = events.length > 0 ? `event: data\ndata:[${events.join(",")}]\n\n` : ""
        return `${data}event: control\ndata:${JSON.stringify(control)}\n\n`
      })
    ),
    // A reader that is told nothing more asks again, and is answered then.
    Stream.catch(() => Stream.empty),
    Stream.interruptWhen(Effect.sleep("60 seconds"))
  )
