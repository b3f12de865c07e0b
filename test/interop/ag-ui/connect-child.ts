/**
 * An agent for pages whose connection is cut behind some byte while it is shown a run. It is a process of its own, as a page
 * is.
 */
import { EmitterAgent } from "../../../src/interop/ag-ui/client.ts"
import { surviveCuts } from "../cutFetch.ts"

const [api = "", token = "", ...lines] = process.argv.slice(2)

surviveCuts()

for (const [index, line] of lines.entries()) {
  const agent = new EmitterAgent({ threadId: `t${index}`, api, connection: { url: line, token } })
  await agent.connectAgent()
  process.stdout.write(`${JSON.stringify(agent.messages)}\n`)
  agent.close()
}
process.exit()
