/**
 * A chat of the AI SDK whose stream is cut behind some byte, and who then resumes, or posts its message again where the
 * run is over. It is a process of its own, since a socket that is cut can end the client's process.
 */
import { DefaultChatTransport, readUIMessageStream, type UIMessage, type UIMessageChunk } from "ai"
import { cutBehind, surviveCuts } from "../cutFetch.ts"

const [api = "", token = "", ...cuts] = process.argv.slice(2)

surviveCuts()

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
