/**
 * Streams that can be written, for the public suite alone: it makes its own by `PUT`, and appends to them by `POST`.
 *
 * Each is a run of a user of its own. What is appended goes into the user's log as `custom` events, by the broker; the
 * ending of the run closes the stream. Whatever else is asked goes on to the routes under test, and their answers come
 * back as they are, but that in place of each event stands what was appended by it, and that the start and the ending of
 * the run stand for nothing. Headers of writers (`Producer-Id`, `Stream-Seq`, `Stream-TTL`, `Stream-Forked-From`, …) are
 * not known here.
 *
 * All this stands before the routes on the same server: a server of its own would pass each request on by another.
 */
import { ByteSize, Effect, Layer, Option, Redacted, type Schema, Stream } from "effect"
import { Broker } from "effect-emitter"
import { Authenticator } from "effect-emitter/gateway"
import { Headers, HttpBody, HttpIncomingMessage, HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { user } from "../../gateway/server.ts"
import { toEnvelope, type Wanted } from "../../support/envelopes.ts"

type Request = HttpServerRequest.HttpServerRequest

type Response = HttpServerResponse.HttpServerResponse

interface WritableStream {
  readonly owner: string
  readonly contentType: string
  isClosed: boolean
}

/** What an answer of the routes lists. */
interface Sent {
  readonly type: string
  readonly data: { readonly data?: Schema.Json }
}

const maxBodyBytes = 1024 * 1024

/** A user's token is the user's name. */
export const authenticator = Layer.succeed(Authenticator.Authenticator, {
  verify: (token) => Effect.succeed({ userId: user(Redacted.value(token)), expiresAt: undefined, issuedAt: undefined }),
  recognize: () => Effect.succeed(Option.none())
})

/** Puts streams under `/v1/stream/` before the routes under test, those of runs at `runs`. */
export const layer = (runs: string) =>
  HttpRouter.middleware(
    Effect.map(Broker.Broker, (broker) => {
      const streams = new Map<string, WritableStream>()
      let sequence = 0

      const append = (stream: WritableStream, events: ReadonlyArray<Pick<Wanted, "type" | "data">>) => {
        const [first, ...others] = events.map((event) => {
          sequence += 1
          return toEnvelope({ ...event, id: `e${sequence}`, source: "w", sequence, at: sequence, run: "stream" })
        })
        return first === undefined ? Effect.void : Effect.orDie(broker.append(user(stream.owner), [first, ...others]))
      }

      return (routes) => {
        const ask = (
          request: Request,
          stream: WritableStream,
          method: string,
          query = "",
          given: Headers.Input = {}
        ) => {
          const headers = Headers.set(Headers.fromInput(given), "authorization", `Bearer ${stream.owner}`)
          const asked = request.modify({ url: `${runs}/stream${query}`, headers })
          return Effect.provideService(
            routes,
            HttpServerRequest.HttpServerRequest,
            Object.defineProperty(asked, "method", { value: method })
          )
        }

        /** The answer to what was written: where the stream stands by the routes under test. */
        const written = (request: Request, stream: WritableStream, status: number, location: Headers.Input = {}) =>
          Effect.map(ask(request, stream, "HEAD"), ({ headers }) => {
            const names = ["stream-next-offset", "stream-closed", "x-content-type-options"]
            const standing = names.flatMap((name) => name in headers ? [[name, headers[name]] as const] : [])
            return answer(status, {
              ...Object.fromEntries(standing),
              ...location,
              "content-type": stream.contentType
            })
          })

        const create = Effect.fnUntraced(function*(
          request: Request,
          { contentType, isClosed }: Written,
          values: ReadonlyArray<Schema.Json>
        ) {
          const path = pathOf(request)
          const known = streams.get(path)
          if (known !== undefined) {
            const isSame = isOfType(known, contentType) && known.isClosed === isClosed
            return isSame ? yield* written(request, known, 200) : answer(409)
          }
          const owner = `owner-${streams.size}`
          const stream = { owner, contentType: contentType ?? "application/octet-stream", isClosed }
          streams.set(path, stream)
          yield* append(stream, [start, ...values.map(toEvent), ...(isClosed ? [ending] : [])])
          return yield* written(request, stream, 201, { location: `http://${request.headers["host"]}${path}` })
        })

        const add = Effect.fnUntraced(function*(
          request: Request,
          stream: WritableStream,
          { contentType, isClosed, isEmpty }: Written,
          values: ReadonlyArray<Schema.Json>
        ) {
          if (isEmpty && isClosed && stream.isClosed) return yield* written(request, stream, 204)
          if (stream.isClosed) return yield* written(request, stream, 409)
          if (isEmpty && !isClosed) return answer(400)
          if (!isEmpty && contentType === undefined) return answer(400)
          if (!isEmpty && !isOfType(stream, contentType)) return answer(409)
          stream.isClosed = isClosed
          yield* append(stream, [...values.map(toEvent), ...(isClosed ? [ending] : [])])
          return yield* written(request, stream, 204)
        })

        const write = Effect.fnUntraced(function*(request: Request) {
          const path = pathOf(request)
          const body = yield* bodyOf(request)
          if (body === undefined) return answer(413)
          const contentType = request.headers["content-type"]
          const stream = streams.get(path)
          const isCreated = request.method === "PUT"
          // Subscriptions.
          if (path.includes("/__ds/")) return answer(404)
          if (Object.keys(request.headers).some((name) => unknown.test(name))) return answer(405)
          if (!isCreated && stream === undefined) return answer(404)
          const values = valuesOf(stream?.contentType ?? contentType ?? "", body)
          const isClosed = request.headers["stream-closed"]?.toLowerCase() === "true"
          const what = { contentType, isClosed, isEmpty: body.length === 0 }
          if (values === undefined || (!isCreated && body.length > 0 && values.length === 0)) {
            return stream === undefined || isOfType(stream, contentType) ? answer(400) : answer(409)
          }
          return isCreated || stream === undefined
            ? yield* create(request, what, values)
            : yield* add(request, stream, what, values)
        })

        const read = Effect.fnUntraced(function*(request: Request) {
          const path = pathOf(request)
          const query = request.url.slice(path.length)
          const stream = streams.get(path) ?? nobodys
          const headers = Object.entries(request.headers).filter(([name]) => passed.test(name))
          return toAnswer(request, stream, yield* ask(request, stream, request.method, query, headers))
        })

        return Effect.flatMap(
          HttpServerRequest.HttpServerRequest,
          (request) => request.method === "PUT" || request.method === "POST" ? write(request) : read(request)
        )
      }
    }),
    { global: true }
  )

interface Written {
  readonly contentType: string | undefined
  readonly isClosed: boolean
  readonly isEmpty: boolean
}

/** Nobody's: the routes under test answer as they do to what they do not know. */
const nobodys: WritableStream = { owner: "nobody", contentType: "application/json", isClosed: false }

const answer = (status: number, headers: Headers.Input = {}): Response =>
  HttpServerResponse.empty({ status, headers: { "x-content-type-options": "nosniff", ...headers } })

/** What the routes under test answered, with what was appended in place of the events. */
const toAnswer = ({ method, url }: Request, stream: WritableStream, response: Response): Response => {
  const { body, headers, status } = response
  if (body._tag === "Stream" && headers["content-type"]?.startsWith("text/event-stream") === true) {
    return HttpServerResponse.setBody(response, HttpBody.stream(toBlocks(stream, body.stream), body.contentType))
  }
  const isOk = status >= 200 && status < 300
  const typed = isOk ? HttpServerResponse.setHeader(response, "content-type", stream.contentType) : response
  if (status !== 200 || method !== "GET" || body._tag !== "Uint8Array") return typed
  const values = valuesSent(new TextDecoder().decode(body.body))
  // A long poll that is answered by the ending of the run alone brings nothing that was appended.
  const isNothing = values.length === 0 && url.includes("live=long-poll") && headers["stream-closed"] === "true"
  return isNothing
    ? HttpServerResponse.setStatus(HttpServerResponse.setBody(typed, HttpBody.empty), 204)
    : HttpServerResponse.setBody(typed, toBody(stream, values))
}

const toBlocks = <E>(stream: WritableStream, bytes: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E> =>
  bytes.pipe(
    Stream.decodeText(),
    Stream.mapAccum(() => "", (rest: string, chunk) => {
      const blocks = (rest + chunk).split("\n\n")
      return [blocks.pop() ?? "", [blocks.map((block) => toBlock(stream, block)).join("")]] as const
    }),
    Stream.filter((text) => text !== ""),
    Stream.encodeText
  )

const pathOf = ({ url }: Request): string => url.split("?")[0] ?? ""

/** A body up to the limit, or nothing. */
const bodyOf = (request: Request): Effect.Effect<Uint8Array | undefined> =>
  request.arrayBuffer.pipe(
    Effect.map((body) => new Uint8Array(body)),
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(maxBodyBytes)),
    Effect.orElseSucceed(() => undefined)
  )

const start = { type: "agent_started", data: { agentName: "writer" } }

const ending = { type: "agent_completed", data: { agentName: "writer", durationMs: 0 } }

const toEvent = (data: Schema.Json) => ({ type: "custom", data: { name: "appended", data } })

const unknown = /^(producer-|stream-(seq|ttl|expires|fork))/u

const passed = /^(accept|if-none-match|origin|access-control-)/u

const essence = (contentType: string): string => contentType.split(";")[0]?.trim().toLowerCase() ?? ""

const isOfType = (stream: WritableStream, contentType: string | undefined): boolean =>
  essence(stream.contentType) === essence(contentType ?? "application/octet-stream")

const isJson = (contentType: string): boolean => essence(contentType) === "application/json"

/** What a body appends: the members of a JSON array, another JSON value, or bytes in base64. Nothing where it is no JSON. */
const valuesOf = (contentType: string, body: Uint8Array): ReadonlyArray<Schema.Json> | undefined => {
  if (body.length === 0) return []
  if (!isJson(contentType)) return [Buffer.from(body).toString("base64")]
  try {
    const value: Schema.Json = JSON.parse(new TextDecoder().decode(body))
    return Array.isArray(value) ? value : [value]
  } catch {
    return undefined
  }
}

const valuesSent = (json: string): ReadonlyArray<Schema.Json> => {
  const events: ReadonlyArray<Sent> = JSON.parse(json)
  return events.flatMap(({ data, type }) => type === "custom" && data.data !== undefined ? [data.data] : [])
}

const bytesOf = (values: ReadonlyArray<Schema.Json>): Buffer =>
  Buffer.concat(values.map((value) => Buffer.from(String(value), "base64")))

const toBody = ({ contentType }: WritableStream, values: ReadonlyArray<Schema.Json>): HttpBody.HttpBody =>
  isJson(contentType)
    ? HttpBody.text(JSON.stringify(values), contentType)
    : HttpBody.uint8Array(bytesOf(values), contentType)

const toBlock = ({ contentType }: WritableStream, block: string): string => {
  const [, json] = /^event: data\ndata:(.*)$/u.exec(block) ?? []
  if (json === undefined) return `${block}\n\n`
  const values = valuesSent(json)
  if (values.length === 0) return ""
  if (isJson(contentType)) return `event: data\ndata:${JSON.stringify(values)}\n\n`
  const lines = bytesOf(values).toString().split(/\r\n|\r|\n/u)
  return `event: data\n${lines.map((line) => `data:${line}\n`).join("")}\n`
}
