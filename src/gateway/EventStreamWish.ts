/**
 * What a request for server-sent events asks for.
 *
 * `Last-Event-ID` names the position to resume from; a page that was reloaded
 * cannot set it, and gives `?resume=<epoch>:<offset>` instead. `?thread=<id>`,
 * once or more often, filters threads. Tokens are not taken from the address,
 * since addresses are logged everywhere.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Schema from "effect/Schema"
import { ThreadId } from "../protocol/Identity.ts"
import * as Position from "../protocol/Position.ts"
import type { Wish } from "./EventStream.ts"

/**
 * Whether a request asks for server-sent events.
 *
 * @category checks
 * @since 0.1.0
 */
export const isMeant = (request: HttpServerRequest): boolean =>
  request.headers["accept"]?.split(",").some((type) => type.split(";")[0]?.trim() === "text/event-stream") === true

const decodeThreads = Schema.decodeUnknownEffect(Schema.Array(ThreadId).check(Schema.isMaxLength(64)))

const PositionText = Schema.String.check(
  Schema.makeFilter((text: string) =>
    Position.fromText(text) === undefined ? "a position has the form <epoch>:<offset>" : undefined
  )
)
const decodePosition = Schema.decodeUnknownEffect(PositionText)

/**
 * Reads the request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const read = Effect.fnUntraced(function*(
  request: HttpServerRequest
): Effect.fn.Return<Omit<Wish, "principal">, Schema.SchemaError> {
  const query = URL.parse(request.url, "http://localhost")?.searchParams ?? new URLSearchParams()
  const named = request.headers["last-event-id"] ?? query.get("resume") ?? ""
  const resume = named === "" ? undefined : Position.fromText(yield* decodePosition(named))
  const threads = query.getAll("thread")
  return { resume, threads: threads.length === 0 ? undefined : yield* decodeThreads(threads) }
})
