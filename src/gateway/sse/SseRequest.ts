/**
 * What a request for server-sent events asks for.
 *
 * `Last-Event-ID` names the position to resume from; a page that was reloaded
 * cannot set it, and gives `?resume=<epoch>:<offset>` instead. Where both come the
 * header counts, unless it is empty. `?thread=<id>`,
 * once or more often, filters threads, `?thread=` names none. `?snapshots=<n>` asks
 * for the state of the active runs and of the n newest others. Tokens are not taken from the address,
 * since addresses are logged everywhere.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Schema from "effect/Schema"
import { ThreadId } from "../../protocol/values/Identity.ts"
import * as Position from "../../protocol/values/Position.ts"
import type { StreamRequest } from "./SseStream.ts"

/**
 * Whether a request asks for server-sent events.
 *
 * @category checks
 * @since 0.1.0
 */
export const isMeant = (request: HttpServerRequest): boolean =>
  request.headers["accept"]?.split(",").some((type) => type.split(";")[0]?.trim() === "text/event-stream") === true

const decodeThreads = Schema.decodeUnknownEffect(Schema.Array(ThreadId))

const maxThreads = 64

/**
 * The request asks for something that makes no sense; `detail` names the parameter.
 *
 * @category errors
 * @since 0.1.0
 */
export class StreamRequestError extends Schema.TaggedError<StreamRequestError>()("StreamRequestError", {
  detail: Schema.String
}) {
  override get message() {
    return this.detail
  }
}

const refuse = (detail: string): Effect.Effect<never, StreamRequestError> =>
  Effect.fail(new StreamRequestError({ detail }))

/**
 * Reads the request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const read = Effect.fnUntraced(function*(
  request: HttpServerRequest,
  limits: { readonly maxSnapshots: number }
): Effect.fn.Return<Omit<StreamRequest, "principal" | "headers">, StreamRequestError> {
  const query = queryOf(request)
  const lastEventId = request.headers["last-event-id"] ?? ""
  const named = lastEventId === "" ? query.get("resume") ?? "" : lastEventId
  const resume = named === "" ? undefined : Position.fromText(named)
  if (named !== "" && resume === undefined) {
    const by = lastEventId === "" ? "resume" : "Last-Event-ID"
    return yield* refuse(`${by}: a position has the form <epoch>:<offset>, as an event's id has`)
  }
  return { resume, threads: yield* readThreads(query), snapshots: yield* readSnapshots(query, limits.maxSnapshots) }
})

const readSnapshots = (query: URLSearchParams, most: number): Effect.Effect<number | undefined, StreamRequestError> => {
  const asked = query.get("snapshots") ?? ""
  if (asked === "") return Effect.undefined
  const count = /^\d{1,9}$/.test(asked) ? Number(asked) : undefined
  if (count === undefined) return refuse("snapshots: a number of runs is needed")
  return count > most
    ? refuse(`snapshots: a device may ask for ${most} runs at most, not ${count}: ask for fewer`)
    : Effect.succeed(count)
}

/**
 * Reads the thread filter of a request: every `thread` of its address. Without any
 * there is no filter; one that is empty names no thread, so that a filter can be
 * empty, too.
 *
 * @category constructors
 * @since 0.1.0
 */
export const readThreads = (
  query: URLSearchParams
): Effect.Effect<ReadonlyArray<ThreadId> | undefined, StreamRequestError> => {
  if (!query.has("thread")) return Effect.undefined
  const named = query.getAll("thread").filter((thread) => thread !== "")
  if (named.length > maxThreads) {
    return refuse(`thread: a device may follow ${maxThreads} threads, this one asks for ${named.length}`)
  }
  return Effect.catch(decodeThreads(named), ({ message }) => refuse(`thread: ${message.split("\n")[0] ?? ""}`))
}

/**
 * The query of a request's address.
 *
 * @category accessors
 * @since 0.1.0
 */
export const queryOf = (request: HttpServerRequest): URLSearchParams =>
  URL.parse(request.url, "http://localhost")?.searchParams ?? new URLSearchParams()
