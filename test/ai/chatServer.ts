/** A server that speaks OpenAI's chat completions, and fails as it is told. */
import { Effect } from "effect"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

/** Answers one request: `body` is what was asked, `left` says whether the client has gone. */
export type Answer = (response: ServerResponse, body: Body) => void | Promise<void>

export interface Body {
  readonly messages: ReadonlyArray<Record<string, unknown>>
  readonly tools?: ReadonlyArray<Record<string, unknown>>
  readonly stream: boolean
}

const read = async (request: IncomingMessage): Promise<Body> => {
  const pieces: Array<Buffer> = []
  for await (const piece of request) pieces.push(piece)
  return JSON.parse(Buffer.concat(pieces).toString("utf8"))
}

/** Listens on a port of its own; the n-th request has the n-th answer. */
export const chatServer = (...answers: ReadonlyArray<Answer>) =>
  Effect.gen(function*() {
    const asked: Array<Body & { readonly authorization: string | undefined }> = []
    let closed = 0
    const server = createServer((request, response) => {
      response.on("close", () => {
        if (!response.writableFinished) closed++
      })
      void read(request).then((body) => {
        const answer = answers[asked.push({ ...body, authorization: request.headers.authorization }) - 1]
        if (request.url !== "/v1/chat/completions" || answer === undefined) return response.writeHead(404).end()
        return answer(response, body)
      })
    })
    yield* Effect.acquireRelease(
      Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
      () =>
        Effect.promise(() => {
          server.closeAllConnections()
          return new Promise((resolve) => server.close(resolve))
        })
    )
    const { port } = server.address() as AddressInfo
    return { baseUrl: `http://127.0.0.1:${port}/v1`, asked, left: () => closed }
  })

export const begin = (response: ServerResponse) => response.writeHead(200, { "content-type": "text/event-stream" })

/** One chunk as the API writes it. */
export const chunk = (delta: object, finish: string | null = null, more: object = {}): string =>
  `data: ${
    JSON.stringify({
      id: "chat-1",
      object: "chat.completion.chunk",
      created: 1,
      model: "local-1",
      choices: [{ index: 0, delta, finish_reason: finish }],
      ...more
    })
  }\n\n`

export const usage = (input: number, output: number): string =>
  chunk({}, null, {
    choices: [],
    usage: { prompt_tokens: input, completion_tokens: output, total_tokens: input + output }
  })

export const done = "data: [DONE]\n\n"

/** Says all of it, in pieces of `size` bytes, wherever that cuts a chunk or a character. */
export const says = (text: string, size = text.length): Answer => async (response) => {
  begin(response)
  const bytes = Buffer.from(text, "utf8")
  for (let at = 0; at < bytes.length; at += size) {
    response.write(bytes.subarray(at, at + size))
    await new Promise((resolve) => setImmediate(resolve))
  }
  response.end()
}

export const refuses = (status: number, message: string): Answer => (response) => {
  response.writeHead(status, { "content-type": "application/json" })
  response.end(JSON.stringify({ error: { message, type: "error" } }))
}
