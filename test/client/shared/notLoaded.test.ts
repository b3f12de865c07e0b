/**
 * A page whose server has not got any more what tabs share by, as after a deploy.
 */
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { connect } from "effect-emitter/client"
import { vi } from "vitest"
import { until } from "../devices.ts"
import { tinyServer } from "../TinyServer.ts"
import { fakeBrowser } from "./FakeBrowser.ts"

vi.mock(import("../../../src/client/shared/SharedTab.ts"), () => {
  throw new TypeError("Failed to fetch dynamically imported module")
})

describe("a tab that is to share", () => {
  it.live("has a connection of its own where it cannot load what tabs share by", () =>
    Effect.gen(function*() {
      const tiny = yield* tinyServer(1)
      const offsets: Array<number> = []
      const { BroadcastChannel, locks } = fakeBrowser().tab()
      const { status } = yield* Effect.acquireRelease(
        Effect.sync(() =>
          connect({
            url: `ws://127.0.0.1:${tiny.port}/events`,
            shared: "ann",
            platform: { BroadcastChannel, locks },
            onEvent: ({ offset }) => offsets.push(offset)
          })
        ),
        ({ close }) => Effect.sync(close)
      )
      yield* until("live", () => status.getSnapshot().state === "live", 1)
      tiny.append(2)
      yield* until("its events", () => offsets.length === 2, 1)
    }))
})
