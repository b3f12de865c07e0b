/**
 * A client of AG-UI whose stream is cut behind some byte, and who then asks for the same run again. It is a process of its
 * own, since a socket that is cut can end the client's process.
 */
import { HttpAgent } from "@ag-ui/client"

const [url = "", token = "", ...cuts] = process.argv.slice(2)

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

const headers = { authorization: `Bearer ${token}` }

process.on("uncaughtException", () => {})
process.on("unhandledRejection", () => {})

for (const [index, cut] of cuts.entries()) {
  const runId = `r${index}`
  const agent = new HttpAgent({ url, headers, threadId: "t1", fetch: cutBehind(Number(cut)) })
  await agent.runAgent({ runId }).catch(() => {})
  const back = new HttpAgent({ url, headers, threadId: "t1", initialMessages: agent.messages })
  await back.runAgent({ runId })
  process.stdout.write(`${JSON.stringify(back.messages)}\n`)
}
