/**
 * A clock, timers and dice that a test turns by hand, for `connect`.
 */
import type { Platform } from "effect-emitter/client"
import { fakeSockets } from "./FakeSocket.ts"

export const fakeWorld = () => {
  const { last, sockets, WebSocket } = fakeSockets()
  let now = 50_000
  let ahead = 0
  let timers: Array<{ readonly at: number; readonly run: () => void }> = []
  const platform: Platform = {
    now: () => now + ahead,
    monotonic: () => now,
    random: () => 0.5,
    WebSocket,
    fetch: undefined,
    after: (ms, run) => {
      const timer = { at: now + ms, run }
      timers.push(timer)
      return () => {
        timers = timers.filter((other) => other !== timer)
      }
    }
  }

  /** Lets promises settle, then time pass, timer by timer. */
  const pass = async (ms: number) => {
    await settled()
    const end = now + ms
    for (;;) {
      const next = timers.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      timers = timers.filter((timer) => timer !== next)
      now = Math.max(now, next.at)
      next.run()
      await settled()
    }
    now = end
  }

  /** Somebody sets the wall clock. */
  const setClock = (byMs: number) => {
    ahead += byMs
  }

  return { last, sockets, platform, pass, setClock, now: platform.now, timers: () => timers.length }
}

const settled = async () => {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}
