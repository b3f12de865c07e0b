/**
 * Streams that can be written, for the public suite alone: it makes its own by `PUT`, and appends to them by `POST`.
 *
 * Each is a run of a user of its own. What is appended goes into the user's log as `custom` events, by the broker; the
 * ending of the run closes the stream. Whatever else is asked goes on to the routes under test, and their answers come
 * back as they are, but that in place of each event stands what was appended by it, and that the start and the ending of
 * the run stand for nothing. Headers of writers (`Producer-Id`, `Stream-Seq`, `Stream-TTL`, `Stream-Forked-From`, …) are
 * not known here.
 */
import { Effect, type Schema } from "effect"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { token, user } from "../../gateway/server.ts"
import { toEnvelope, type Wanted } from "../../support/envelopes.ts"
import type { App } from "../app.ts"

interface WritableStream {
  readonly owner: string
  readonly authorization: string
  readonly contentType: string
  isClosed: boolean
}

/** What an answer of the routes lists. */
interface Sent {
  readonly type: string
  readonly data: { readonly data?: Schema.Json }
}

const maxBodyBytes = 1024 * 1024

/** Serves streams under `/v1/stream/` until the test ends, and gives the URL before that. */
export const serveWritable = Effect.fnUntraced(function*(app: App) {
  const streams = new Map<string, WritableStream>()
  let sequence = 0

  const append = async (
    stream: WritableStream,
    events: ReadonlyArray<Pick<Wanted, "type" | "data">>
  ): Promise<void> => {
    const [first, ...others] = events.map((event) => {
      sequence += 1
      return toEnvelope({ ...event, id: `e${sequence}`, source: "w", sequence, at: sequence, run: "stream" })
    })
    if (first !== undefined) await Effect.runPromise(app.broker.append(user(stream.owner), [first, ...others]))
  }

  const ask = (
    stream: WritableStream,
    method: string,
    query = "",
    headers: Record<string, string> = {},
    signal?: AbortSignal
  ) =>
    fetch(`${app.url}/streams/runs/stream${query}`, {
      method,
      headers: { ...headers, authorization: stream.authorization },
      ...(signal === undefined ? {} : { signal })
    })

  const create = async (path: string, { contentType, isClosed }: Written, values: ReadonlyArray<Schema.Json>) => {
    const known = streams.get(path)
    if (known !== undefined) {
      const isSame = isOfType(known, contentType) && known.isClosed === isClosed
      return isSame ? await written(known, 200, {}) : { status: 409 }
    }
    const owner = `owner-${streams.size}`
    const authorization = `Bearer ${await Effect.runPromise(token(owner))}`
    const stream = { owner, authorization, contentType: contentType ?? "application/octet-stream", isClosed }
    streams.set(path, stream)
    await append(stream, [start, ...values.map(toEvent), ...(isClosed ? [ending] : [])])
    return await written(stream, 201, { location: `${url()}${path}` })
  }

  const add = async (
    stream: WritableStream,
    { contentType, isClosed, isEmpty }: Written,
    values: ReadonlyArray<Schema.Json>
  ) => {
    if (isEmpty && isClosed && stream.isClosed) return await written(stream, 204, {})
    if (stream.isClosed) return await written(stream, 409, {})
    if (isEmpty && !isClosed) return { status: 400 }
    if (!isEmpty && contentType === undefined) return { status: 400 }
    if (!isEmpty && !isOfType(stream, contentType)) return { status: 409 }
    stream.isClosed = isClosed
    await append(stream, [...values.map(toEvent), ...(isClosed ? [ending] : [])])
    return await written(stream, 204, {})
  }

  /** The answer to what was written: where the stream stands by the routes under test. */
  const written = async (stream: WritableStream, status: number, headers: Record<string, string>) => {
    const { headers: told } = await ask(stream, "HEAD")
    const names = ["stream-next-offset", "stream-closed", "x-content-type-options"]
    const standing = names.flatMap((name) => {
      const value = told.get(name)
      return value === null ? [] : [[name, value] as const]
    })
    return { status, headers: { ...Object.fromEntries(standing), ...headers, "content-type": stream.contentType } }
  }

  const write = async (request: IncomingMessage, path: string): Promise<Answer> => {
    const body = await bodyOf(request)
    if (body === undefined) return { status: 413 }
    const contentType = request.headers["content-type"]
    const stream = streams.get(path)
    const isCreated = request.method === "PUT"
    // Subscriptions.
    if (path.includes("/__ds/")) return { status: 404 }
    if (Object.keys(request.headers).some((name) => unknown.test(name))) return { status: 405 }
    if (!isCreated && stream === undefined) return { status: 404 }
    const values = valuesOf(stream?.contentType ?? contentType ?? "", body)
    const isClosed = request.headers["stream-closed"]?.toString().toLowerCase() === "true"
    const what = { contentType, isClosed, isEmpty: body.length === 0 }
    if (values === undefined || (!isCreated && body.length > 0 && values.length === 0)) {
      return stream === undefined || isOfType(stream, contentType) ? { status: 400 } : { status: 409 }
    }
    return isCreated || stream === undefined ? await create(path, what, values) : await add(stream, what, values)
  }

  const read = async (request: IncomingMessage, response: ServerResponse, path: string, query: string) => {
    const left = new AbortController()
    response.once("close", () => left.abort())
    const stream = streams.get(path) ?? await unknownStream
    const headers = Object.entries(request.headers).flatMap(([name, value]) =>
      passed.test(name) && typeof value === "string" ? [[name, value] as const] : []
    )
    const method = request.method ?? "GET"
    const answer = await ask(stream, method, query, Object.fromEntries(headers), left.signal)
    const told = Object.fromEntries(
      Array.from(answer.headers).filter(([name]) =>
        !/^(transfer-encoding|connection|content-length|keep-alive)$/u.test(name)
      )
    )
    if (answer.headers.get("content-type")?.startsWith("text/event-stream") === true && answer.body !== null) {
      response.writeHead(answer.status, told)
      response.flushHeaders()
      let rest = ""
      for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
        const blocks = (rest + chunk).split("\n\n")
        rest = blocks.pop() ?? ""
        response.write(blocks.map((block) => toBlock(stream, block)).join(""))
      }
      return response.end()
    }
    if (answer.ok && answer.status !== 304) told["content-type"] = stream.contentType
    if (answer.status !== 200 || method !== "GET") {
      response.writeHead(answer.status, told)
      return response.end(Buffer.from(await answer.arrayBuffer()))
    }
    const values = valuesSent(await answer.text())
    // A long poll that is answered by the ending of the run alone brings nothing that was appended.
    const isNothing = values.length === 0 && query.includes("live=long-poll") && told["stream-closed"] === "true"
    response.writeHead(isNothing ? 204 : 200, told)
    return response.end(isNothing ? undefined : toBody(stream, values))
  }

  const server = createServer((request, response) => {
    const { pathname, search } = new URL(request.url ?? "/", "http://host")
    const answer = async () => {
      if (request.method !== "PUT" && request.method !== "POST") return await read(request, response, pathname, search)
      const { headers = {}, status } = await write(request, pathname)
      response.writeHead(status, { "x-content-type-options": "nosniff", ...headers })
      return response.end()
    }
    answer().catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined))
  })
  const url = () => {
    const address = server.address()
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
  }
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      })
  )
  return url()
})

interface Written {
  readonly contentType: string | undefined
  readonly isClosed: boolean
  readonly isEmpty: boolean
}

interface Answer {
  readonly status: number
  readonly headers?: Record<string, string>
}

/** Nobody's: the routes under test answer as they do to what they do not know. */
const unknownStream: Promise<WritableStream> = Effect.runPromise(token("nobody")).then((shown) => ({
  owner: "nobody",
  authorization: `Bearer ${shown}`,
  contentType: "application/json",
  isClosed: false
}))

const start = { type: "agent_started", data: { agentName: "writer" } }

const ending = { type: "agent_completed", data: { agentName: "writer", durationMs: 0 } }

const toEvent = (data: Schema.Json) => ({ type: "custom", data: { name: "appended", data } })

const unknown = /^(producer-|stream-(seq|ttl|expires|fork))/u

const passed = /^(accept|if-none-match|origin|access-control-)/u

const essence = (contentType: string): string => contentType.split(";")[0]?.trim().toLowerCase() ?? ""

const isOfType = (stream: WritableStream, contentType: string | undefined): boolean =>
  essence(stream.contentType) === essence(contentType ?? "application/octet-stream")

const isJson = (contentType: string): boolean => essence(contentType) === "application/json"

/** A body up to the limit, or nothing. */
const bodyOf = async (request: IncomingMessage): Promise<Buffer | undefined> => {
  const chunks: Array<Buffer> = []
  let size = 0
  for await (const chunk of request) {
    size += chunk.length
    if (size <= maxBodyBytes) chunks.push(chunk)
  }
  return size > maxBodyBytes ? undefined : Buffer.concat(chunks)
}

/** What a body appends: the members of a JSON array, another JSON value, or bytes in base64. Nothing where it is no JSON. */
const valuesOf = (contentType: string, body: Buffer): ReadonlyArray<Schema.Json> | undefined => {
  if (body.length === 0) return []
  if (!isJson(contentType)) return [body.toString("base64")]
  try {
    const value: Schema.Json = JSON.parse(body.toString())
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

const toBody = ({ contentType }: WritableStream, values: ReadonlyArray<Schema.Json>): string | Buffer =>
  isJson(contentType) ? JSON.stringify(values) : bytesOf(values)

const toBlock = ({ contentType }: WritableStream, block: string): string => {
  const [, json] = /^event: data\ndata:(.*)$/u.exec(block) ?? []
  if (json === undefined) return `${block}\n\n`
  const values = valuesSent(json)
  if (values.length === 0) return ""
  if (isJson(contentType)) return `event: data\ndata:${JSON.stringify(values)}\n\n`
  const lines = bytesOf(values).toString().split(/\r\n|\r|\n/u)
  return `event: data\n${lines.map((line) => `data:${line}\n`).join("")}\n`
}
