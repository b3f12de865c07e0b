import { assert, describe, it } from "@effect/vitest"
import { statusOf } from "../../../src/client/session/DeviceSession.ts"
import type { ModelClient } from "../ModelClient.ts"
import type { ModelServer } from "../ModelServer.ts"
import { catchUp, fair, play, type Weather } from "./play.ts"

/** How many schedules each property is checked with. `SCHEDULES=100000` for a long run, `SEED=n` for one of them. */
const schedules = Number(process.env["SCHEDULES"] ?? 120)
const only = process.env["SEED"]

const forAllSeeds = (check: (seed: number) => void) => {
  const seeds = only === undefined ? Array.from({ length: schedules }, (_, n) => n + 1) : [Number(only)]
  for (const seed of seeds) {
    try {
      check(seed)
    } catch (error) {
      throw new Error(`SEED=${seed}: ${error instanceof Error ? error.message : error}`, { cause: error })
    }
  }
}

/**
 * Every event once, in order, and each offset that is not there is explained: by a gap that the server declared, or by
 * the filter.
 */
const assertRecord = (client: ModelClient, server: ModelServer, wanted: (thread: string | undefined) => boolean) => {
  const seen = new Set<string>()
  const explained = new Set<string>()
  const events = new Map(server.all.map(({ epoch, event }) => [`${epoch}:${event.offset}`, event]))
  const mayLack = (epoch: string, offset: number) => {
    const event = events.get(`${epoch}:${offset}`)
    return explained.has(`${epoch}:${offset}`) || (event !== undefined && (!wanted(event.thread) || seen.has(event.id)))
  }
  const assertHole = (epoch: string, from: number, to: number) => {
    for (let offset = from; offset <= to; offset++) {
      assert.isTrue(mayLack(epoch, offset), `${epoch}:${offset} is missing without a word`)
    }
  }
  let at: { epoch: string; offset: number } | undefined

  for (const item of client.items) {
    switch (item._tag) {
      case "Event": {
        const { epoch, event } = item
        assert.isFalse(seen.has(event.id), `${event.id} came twice`)
        seen.add(event.id)
        assert.isTrue(wanted(event.thread), `${event.id} is of a thread that was not asked for`)
        assert.deepStrictEqual(event, events.get(`${epoch}:${event.offset}`))
        if (at !== undefined) {
          assert.strictEqual(epoch, at.epoch, "a new epoch came without a gap")
          assert.isAbove(event.offset, at.offset)
          assertHole(epoch, at.offset + 1, event.offset - 1)
        }
        at = { epoch, offset: event.offset }
        break
      }
      case "Gap": {
        assert.isTrue(
          server.gaps.some((gap) => gap.epoch === item.epoch && gap.from <= item.from && gap.to === item.to),
          `the server never declared the gap ${item.epoch}:${item.from}-${item.to}`
        )
        if (at?.epoch === item.epoch) {
          assert.isAbove(item.from, at.offset, "a gap covers what was delivered")
          assertHole(item.epoch, at.offset + 1, item.from - 1)
        } else {
          at = { epoch: item.epoch, offset: item.from - 1 }
        }
        for (let offset = item.from; offset <= item.to; offset++) explained.add(`${item.epoch}:${offset}`)
        break
      }
      case "Snapshot":
      case "Lost":
        break
    }
  }
  return { at, assertHole }
}

/** At the end nothing that the server has is missing. */
const assertComplete = (client: ModelClient, server: ModelServer, wanted: (thread: string | undefined) => boolean) => {
  const { at, assertHole } = assertRecord(client, server, wanted)
  assert.deepStrictEqual(client.state.position, { epoch: server.log.epoch, offset: server.head })
  if (at === undefined) return
  assert.strictEqual(at.epoch, server.log.epoch)
  assertHole(at.epoch, at.offset + 1, server.head)
}

/** What was given under an older epoch is not given again, but confirmed. */
const isRepetition = (server: ModelServer, position: string) => {
  const event = server.all.find(({ epoch, event }) => position === `${epoch}:${event.offset}`)
  return server.all.some(({ epoch, event: { id } }) => id === event?.event.id && epoch !== event.epoch)
}

const assertAcks = (client: ModelClient, server: ModelServer) => {
  for (const { epoch, handled, offset } of client.acked) {
    assert.strictEqual(handled?.epoch, epoch, "an acknowledgement of another epoch")
    assert.isAtMost(offset, handled?.offset ?? -1, "acknowledged before it was handled")
  }
  for (const counted of server.acknowledged) {
    assert.isTrue(
      client.acked.some(({ epoch, offset }) => epoch === counted.epoch && offset === counted.offset),
      `${counted.epoch}:${counted.offset} counts as handled, which was meant for another epoch`
    )
  }
  const asked = client.items.flatMap((item) =>
    item._tag === "Event" && item.event.confirm === true ? [{ ...item.event, epoch: item.epoch }] : []
  )
  const given = new Set(asked.map(({ epoch, offset }) => `${epoch}:${offset}`))
  for (const position of server.confirmed) {
    if (!given.has(position)) {
      assert.isTrue(isRepetition(server, position), `${position} was confirmed, and never given`)
    }
  }
  for (const { epoch, offset } of asked.slice(-64)) {
    if (epoch !== server.log.epoch) continue
    assert.isTrue(server.confirmed.has(`${epoch}:${offset}`), `${epoch}:${offset} was handled, and is not confirmed`)
  }
  const newest = client.saved.at(-1)
  assert.deepStrictEqual(newest, { epoch: server.log.epoch, offset: server.head })
  const last = client.acked.at(-1)
  const confirms = server.log.events.some((event) => event.confirm === true && event.offset > (last?.offset ?? 0))
  const moved = client.items.some((item) => item._tag === "Event" && item.epoch === server.log.epoch)
  if (moved) assert.strictEqual(last?.epoch === server.log.epoch ? last.offset : -1, server.head)
  else assert.isFalse(confirms && client.items.some((item) => item._tag === "Event"))
}

/** The client's runs are those of the server. */
const assertRuns = (client: ModelClient, server: ModelServer) => {
  for (const [id, { fold }] of server.log.folds) {
    const run = client.runs.run(id).get()
    if (fold.ended && run === undefined) continue
    assert.deepStrictEqual<unknown>(run, { id, ...fold.snapshot() }, id)
  }
  assertNoOldRuns(client, server)
}

/** No run goes on that the server's log knows nothing of. */
const assertNoOldRuns = (client: ModelClient, server: ModelServer) => {
  for (const { id, status } of client.runs.getSnapshot()) {
    if (!server.log.folds.has(id)) assert.notStrictEqual(status, "active", `${id} is of an old epoch`)
  }
}

const anyThread = () => true

describe("Session, against a model of the server", () => {
  it("delivers every event once and in order, wherever it reconnects", () =>
    forAllSeeds((seed) => {
      const { client, server } = play(seed, fair)
      assertComplete(client, server, anyThread)
      assertAcks(client, server)
      assertRuns(client, server)
      assert.isFalse(client.items.some((item) => item._tag === "Gap" || item._tag === "Lost"))
    }))

  it("hands over the whole log when it starts at the earliest event", () =>
    forAllSeeds((seed) => {
      const { client, server } = play(seed, fair, { start: "earliest" })
      assertComplete(client, server, anyThread)
      const offsets = client.items.flatMap((item) => item._tag === "Event" ? [item.event.offset] : [])
      assert.deepStrictEqual(offsets, Array.from({ length: server.head }, (_, index) => index + 1))
    }))

  it("hands over every event after a stored position", () =>
    forAllSeeds((seed) => {
      const { client, server } = play(seed, fair, { start: { epoch: "E1", offset: 0 } })
      assertComplete(client, server, anyThread)
      const offsets = client.items.flatMap((item) => item._tag === "Event" ? [item.event.offset] : [])
      assert.deepStrictEqual(offsets, Array.from({ length: server.head }, (_, index) => index + 1))
    }))

  it("explains what cannot come by the server's gaps, and has the runs' state from snapshots", () =>
    forAllSeeds((seed) => {
      const { client, server } = play(seed, { ...fair, gaps: true })
      assertComplete(client, server, anyThread)
      assertAcks(client, server)
      assertRuns(client, server)
    }))

  it("begins anew in a new epoch, without repeating an event that has a new offset", () =>
    forAllSeeds((seed) => {
      const { client, server } = play(seed, { ...fair, epochs: true, gaps: true })
      assertComplete(client, server, anyThread)
      assertAcks(client, server)
      assertNoOldRuns(client, server)
    }))

  it("gets all of its threads and nothing of others", () =>
    forAllSeeds((seed) => {
      const wanted = (thread: string | undefined) => thread === undefined || thread === "a"
      const { client, server } = play(seed, { ...fair, epochs: true, gaps: true }, { threads: ["a"] })
      assertComplete(client, server, wanted)
      assertAcks(client, server)
    }))

  it("keeps all of it whatever transports are blocked, and comes by the one that is not", () => {
    const used = { websocket: 0, sse: 0 }
    forAllSeeds((seed) => {
      const { client, server } = play(seed, { ...fair, blocks: true, gaps: true })
      assertComplete(client, server, anyThread)
      assertAcks(client, server)
      assertRuns(client, server)
      const status = statusOf(client.state)
      if (status.state !== "live") return assert.fail(status.state)
      assert.notInclude(client.blocked, status.transport)
      used[status.transport] += 1
    })
    if (only === undefined) assert.isTrue(used.sse > 10 && used.websocket > 10, JSON.stringify(used))
  })

  it("loses and repeats nothing of its threads, across transports and epochs", () =>
    forAllSeeds((seed) => {
      const wanted = (thread: string | undefined) => thread === undefined || thread === "a"
      const { client, server } = play(seed, { ...fair, blocks: true, epochs: true, gaps: true }, { threads: ["a"] })
      assertComplete(client, server, wanted)
      assertAcks(client, server)
    }))

  it("finds out a server that drops, repeats, swaps or garbles frames, and loses nothing by it", () =>
    forAllSeeds((seed) => {
      const weather: Weather = { ...fair, damage: ["drop", "repeat", "swap", "garble"] }
      const { client, server } = play(seed, weather, { start: { epoch: "E1", offset: 0 } })
      assertComplete(client, server, anyThread)
    }))

  it("fault 39b: misses no snapshot that a server announced, though frames are lost on the way", () =>
    forAllSeeds((seed) => {
      const weather: Weather = { ...fair, gaps: true, damage: ["drop", "swap"] }
      const { client, server } = play(seed, weather)
      // What was dropped is found out by the next events at the latest.
      server.append(1)
      catchUp(client, server)
      assertRuns(client, server)
    }))

  it("does the same for the same seed", () =>
    forAllSeeds((seed) => {
      if (seed > 20) return
      const weather: Weather = { ...fair, epochs: true, gaps: true, blocks: true, damage: ["drop", "garble"] }
      assert.deepStrictEqual(play(seed, weather).client.items, play(seed, weather).client.items)
    }))
})
