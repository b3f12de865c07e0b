/** What a page loads for AG-UI: neither Effect nor anything of the server. */
import { assert, it } from "@effect/vitest"
import { pageBundle } from "../pageBundle.ts"

it("The page's end of AG-UI loads no Effect and nothing of the server, and little more than a connection", async () => {
  const agent = await pageBundle("src/interop/ag-ui/client.ts", ["@ag-ui/client", "rxjs"])
  const foreign = agent.files.filter((file) => !/^src\/(client|protocol|interop\/(ag-ui\/|[A-Z]))/u.test(file))
  assert.deepStrictEqual(foreign, [])
  assert.isAtMost(agent.bytes - (await pageBundle("src/client/connect.ts")).bytes, 6_000)
})
