/** What a page loads for TanStack AI: neither Effect, nor TanStack AI itself, nor anything of the server. */
import { assert, it } from "@effect/vitest"
import { pageBundle } from "../pageBundle.ts"

it("The page's end of TanStack AI loads the client of this package, and little more", async () => {
  const adapter = await pageBundle("src/interop/tanstack-ai/index.ts")
  const foreign = adapter.files.filter((file) =>
    !/^src\/(client|protocol|interop\/(tanstack-ai\/|ag-ui\/|[A-Z]))/u.test(file)
  )
  assert.deepStrictEqual(foreign, [])
  assert.isAtMost(adapter.bytes - (await pageBundle("src/client/connect.ts")).bytes, 7_300)
})
