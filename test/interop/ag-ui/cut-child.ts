/**
 * A client of AG-UI whose stream is cut behind some byte, and who then asks for the same run again. It is a process of its
 * own, since a socket that is cut can end the client's process.
 */
import { HttpAgent } from "@ag-ui/client"
import { cutBehind, surviveCuts } from "../cutFetch.ts"

const [url = "", token = "", ...cuts] = process.argv.slice(2)

const headers = { authorization: `Bearer ${token}` }

surviveCuts()

for (const [index, cut] of cuts.entries()) {
  const runId = `r${index}`
  const agent = new HttpAgent({ url, headers, threadId: "t1", fetch: cutBehind(Number(cut)) })
  await agent.runAgent({ runId }).catch(() => {})
  const back = new HttpAgent({ url, headers, threadId: "t1", initialMessages: agent.messages })
  await back.runAgent({ runId })
  process.stdout.write(`${JSON.stringify(back.messages)}\n`)
}
