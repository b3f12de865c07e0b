/**
 * A chat of the AI SDK whose stream is cut behind some byte, and who then resumes, or posts its message again where the
 * run is over. It is a process of its own, since a socket that is cut can end the client's process.
 */
import { DefaultChatTransport, readUIMessageStream, type UIMessage, type UIMessageChunk } from "ai"

const [api = "", token = "", ...cuts] = process.argv.slice(2)

const cutBehind = (bytes: number): typeof fetch => async (input, init) => {
  const response = await fetch(input, init)
  let left = bytes
  const cut = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      controller.enqueue(chunk.subarray(0, left))
      left -= chunk.length
      if (left <= 0) controller.error(new TypeError("terminated"))
    }
  })
  return new Response(response.body?.pipeThrough(cut) ?? null, { status: response.status, headers: response.headers })
}

process.on("uncaughtException", () => {})
process.on("unhandledRejection", () => {})

/** The message as far as its stream came. */
const read = async (stream: ReadableStream<UIMessageChunk>): Promise<UIMessage | undefined> => {
  let shown: UIMessage | undefined
  for await (const message of readUIMessageStream({ stream, onError: () => {} })) shown = message
  return shown
}

for (const [index, cut] of cuts.entries()) {
  const chatId = `t${index}`
  const transportOf = (given: typeof fetch) =>
    new DefaultChatTransport<UIMessage>({ api, headers: { authorization: `Bearer ${token}` }, fetch: given })
  const question: UIMessage = { id: "q1", role: "user", parts: [{ type: "text", text: "What are streams?" }] }
  const send = (transport: DefaultChatTransport<UIMessage>) =>
    transport.sendMessages({
      trigger: "submit-message",
      chatId,
      messageId: undefined,
      messages: [question],
      abortSignal: undefined
    })
  const first = await send(transportOf(cutBehind(Number(cut)))).then(read).catch(() => undefined)
  const back = transportOf(fetch)
  const stream = await back.reconnectToStream({ chatId }) ?? await send(back)
  const second = await read(stream)
  process.stdout.write(`${JSON.stringify([first?.id ?? second?.id, second])}\n`)
}
