/**
 * Both clients at addresses that will never do, over real sockets.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { serve, token } from "../../gateway/server.ts"
import { patience } from "../../support/patience.ts"
import { devices, until } from "../devices.ts"

for (const [name, device] of Object.entries(devices)) {
  for (const transport of ["websocket", "sse"] as const) {
    describe(`${name} over ${transport}`, () => {
      const stopsWith = Effect.fnUntraced(function*(code: number, reason: string, remedy: string, suffix: string) {
        const served = yield* serve()
        const ann = yield* token("ann")
        // It asks what is the matter while it waits, so the answer is there long before the next attempt.
        const waits = { baseMs: 5_000 * patience, capMs: 5_000 * patience }
        const one = yield* device({
          url: `${served.url}${suffix}`,
          token: () => ann,
          transports: [transport],
          ...waits
        })
        yield* until("stopped", () => one.status().state === "stopped")
        const status = one.status()
        if (status.state !== "stopped" || status.reason._tag !== "refused") return assert.fail(JSON.stringify(status))
        assert.deepStrictEqual([status.reason.code, status.reason.name], [code, reason])
        assert.include(status.reason.detail, remedy)
        assert.isAtMost(one.statuses.filter(({ state }) => state === "waiting").length, 2)
      })

      it.live("fault 31: stops at a wrong path, and says that it is one", () =>
        stopsWith(404, "notFound", `"url" must be the gateway's path`, "/nowhere"))

      it.live("fault 31: stops where its headers are too large, and says what makes them so", () =>
        stopsWith(431, "headersTooLarge", "make the site's cookies smaller", `?x=${"x".repeat(20_000)}`))
    })
  }
}
