/**
 * The client in a tab that nobody looks at, in a real Chromium.
 *
 * The tab is hidden by another one in front of it, and its timers ring once a second then, as everywhere. In the second
 * test they ring once a minute: browsers do so after five minutes, this one is told to do it after one second. In the
 * third the tab is frozen, as after a longer time or to save power. Each test first makes sure that the browser does what
 * it is about.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import { untilEffect } from "../client/devices.ts"
import { proxyTo } from "../client/Proxy.ts"
import { append, serve, token } from "../gateway/server.ts"
import { ownTimed } from "../support/ownTime.ts"
import { findProgram } from "../support/program.ts"
import { servePage } from "./servePage.ts"
import { startTabs, type Tab } from "./tabs.ts"
import { patience } from "../support/patience.ts"

const executable = findProgram("chromium")
const root = fileURLToPath(new URL("../..", import.meta.url))

/** A page that connects, notes what it is told, and counts how often a timer of 100 ms rings. */
const script = async (url: string, token: string) => {
  const { outputFiles } = await build({
    stdin: {
      contents: `
        import { connect } from ${JSON.stringify(`${root}src/client/index.ts`)}
        const seen = { offsets: [], statuses: [], gaps: 0, rings: 0 }
        Object.assign(globalThis, { seen })
        setInterval(() => { seen.rings++ }, 100)
        connect({
          url: ${JSON.stringify(url)},
          token: ${JSON.stringify(token)},
          onEvent: ({ offset }) => { seen.offsets.push(offset) },
          onGap: () => { seen.gaps++ },
          onStatus: ({ state }) => { seen.statuses.push(state) }
        })`,
      resolveDir: root,
      loader: "ts"
    },
    bundle: true,
    format: "iife",
    write: false,
    logLevel: "silent"
  })
  return outputFiles[0]?.text ?? ""
}

interface Seen {
  readonly offsets: ReadonlyArray<number>
  readonly statuses: ReadonlyArray<string>
  readonly gaps: number
  readonly rings: number
  /** When it was asked, by the page's own clock, in milliseconds. */
  readonly at: number
}

const nothing: Seen = { offsets: [], statuses: [], gaps: 0, rings: 0, at: 0 }

/** What the page has noted; nothing while it loads. */
const seen = (tab: Tab): Effect.Effect<Seen> =>
  Effect.promise(async () => {
    const text = await tab.read(
      "JSON.stringify(globalThis.seen && { ...globalThis.seen, at: performance.now() })"
    )
    return typeof text === "string" ? JSON.parse(text) : nothing
  })

const until = (tab: Tab, what: string, look: (seen: Seen) => boolean) =>
  Effect.gen(function*() {
    for (let attempt = 0; attempt < 200 * patience; attempt++) {
      if (look(yield* seen(tab))) return
      yield* Effect.sleep("50 millis")
    }
    return yield* Effect.die(new Error(`never: ${what}: ${JSON.stringify(yield* seen(tab))}`))
  })

/** How often the timer rings in so many milliseconds, as seen over at least so many: a busy machine takes longer. */
const ringsWithin = (tab: Tab, ms: number) =>
  Effect.gen(function*() {
    const before = yield* seen(tab)
    yield* Effect.sleep(ms)
    const after = yield* seen(tab)
    return (after.rings - before.rings) * ms / (after.at - before.at)
  })

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

/** A live tab with another one before it, so that it is hidden. */
const hidden = Effect.fnUntraced(function*(flags: ReadonlyArray<string>, heartbeat: "1 second" | "4 seconds") {
  const served = yield* serve({ heartbeat, origins: "any" })
  const proxy = yield* proxyTo(() => served.port)
  const text = yield* token("ann")
  const page = yield* servePage(
    yield* Effect.promise(() => script(`ws://127.0.0.1:${proxy.port}/events`, text))
  )
  const tabs = yield* Effect.acquireRelease(
    Effect.promise(() => startTabs(executable ?? "chromium", flags)),
    ({ close }) => Effect.promise(close)
  )
  const tab = yield* Effect.promise(() => tabs.open(page.url))
  yield* until(tab, "live", ({ statuses }) => statuses.at(-1) === "live")
  const other = yield* Effect.promise(() => tabs.open("about:blank"))
  yield* Effect.promise(() => other.bringToFront())
  yield* untilEffect("hidden", Effect.promise(async () => await tab.read("document.visibilityState") === "hidden"))
  return { served, proxy, tab }
})

describe.skipIf(executable === undefined)("a tab in the background", () => {
  it.live(
    "stays live while its timers ring once a second, and misses and repeats nothing",
    () =>
      Effect.gen(function*() {
        const { proxy, served, tab } = yield* hidden([], "4 seconds")
        assert.isAtMost(yield* ringsWithin(tab, 3_000), 6)
        for (let n = 1; n <= 40; n++) {
          yield* append(served, "ann", n)
          yield* Effect.sleep("100 millis")
        }
        yield* until(tab, "all events", ({ offsets }) => offsets.length >= 40)
        const { gaps, offsets, statuses } = yield* seen(tab)
        assert.deepStrictEqual([offsets, gaps], [upTo(40), 0])
        assert.deepStrictEqual(statuses, ["connecting", "live"])
        assert.strictEqual(proxy.stats().total, 1)
      }),
    120_000
  )

  it.live(
    "that lost its connection comes back at once when it is shown, though its timers ring once a minute",
    () =>
      Effect.gen(function*() {
        const { proxy, served, tab } = yield* hidden([
          "--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/1"
        ], "1 second")
        yield* append(served, "ann", ...upTo(5))
        yield* until(tab, "the first events", ({ offsets }) => offsets.length === 5)
        // The browser takes its time to do it, the more so on a busy machine.
        yield* ringsWithin(tab, 3_000).pipe(
          Effect.repeat({ until: (rings) => rings <= 1 }),
          Effect.timeoutOrElse({
            duration: 40_000 * patience,
            orElse: () => Effect.die(new Error("the browser does not let timers ring once a minute only"))
          })
        )
        // Both ways back are shut for a while, so that it waits for a timer that does not ring.
        proxy.upgrades("down")
        proxy.cut()
        yield* until(tab, "noticed", ({ statuses }) => statuses.at(-1) === "waiting")
        yield* append(served, "ann", ...upTo(5))
        proxy.upgrades("pass")
        yield* Effect.promise(() => tab.bringToFront())
        yield* until(tab, "all events", ({ offsets }) => offsets.length >= 10)
        const { gaps, offsets, statuses } = yield* seen(tab)
        assert.deepStrictEqual([offsets, gaps, statuses.at(-1)], [upTo(10), 0, "live"])
      }),
    120_000
  )

  it.live("that was frozen is given up by the gateway, and catches up when it goes on", () =>
    Effect.gen(function*() {
      const { served, tab } = yield* hidden([], "1 second")
      yield* append(served, "ann", ...upTo(5))
      yield* until(tab, "the first events", ({ offsets }) => offsets.length === 5)
      yield* Effect.promise(() => tab.freeze())
      const before = yield* seen(tab)
      const [ownMs] = yield* ownTimed(
        untilEffect("given up", Effect.map(served.gateway.stats, ({ sessions }) => sessions === 0))
      )
      assert.isBelow(ownMs, 3_000)
      assert.strictEqual((yield* served.gateway.stats).closed["heartbeatLost"], 1)
      yield* append(served, "ann", ...upTo(20))
      yield* Effect.sleep("500 millis")
      assert.deepStrictEqual({ ...yield* seen(tab), at: 0 }, { ...before, at: 0 })

      yield* Effect.promise(() => tab.thaw())
      yield* Effect.promise(() => tab.bringToFront())
      yield* until(tab, "all events", ({ offsets }) => offsets.length >= 25)
      const { gaps, offsets, statuses } = yield* seen(tab)
      assert.deepStrictEqual([offsets, gaps, statuses.at(-1)], [upTo(25), 0, "live"])
    }), 120_000)
})
