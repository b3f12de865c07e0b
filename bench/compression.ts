/**
 * What does compression win, and what does it cost?
 *
 * A server process plays to devices of another process, by the same emitters and with the same pauses, once for each
 * setting: pieces of text, each a frame of its own, and whole runs with a tool's output. Bytes are those that the devices'
 * TCP sockets have read. The baseline is the same server without compression, in the same rounds.
 */
import * as calls from "./contestants/calls.ts"
import { type Helper, withHelpers } from "./harness/process.ts"
import {
  atMost,
  check,
  compare,
  type Comparison,
  type Figure,
  type Question,
  type Settings
} from "./harness/question.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { summarize } from "./harness/statistics.ts"
import { userOf } from "./harness/workload.ts"

type Start = (file: string, ...args: ReadonlyArray<string>) => Helper
type Over = "WebSocket" | "SSE"
type Of = "text" | "runs"

interface Compression {
  readonly enabled: boolean
  readonly contextTakeover?: boolean
  readonly level?: number
  readonly threshold?: number
}

const off: Compression = { enabled: false }

/** The settings that are compared, by what the table calls them. Where no level is named it is the default. */
const variants: ReadonlyArray<readonly [string, Compression]> = [
  ["each frame by itself", { enabled: true }],
  ["each by itself from 64 bytes", { enabled: true, threshold: 64 }],
  ["context takeover", { enabled: true, contextTakeover: true }],
  ["context takeover, level 6", { enabled: true, contextTakeover: true, level: 6 }]
]

const users = 20

const makeContestant = async (
  start: Start,
  name: string,
  compression: Compression,
  over: Over,
  of: Of,
  quick: boolean
) => {
  const server = start("compression-server.ts", JSON.stringify(compression))
  const receiver = start("compression-receiver.ts")
  const { tickets, url } = await server.ask(calls.listen, {
    users: Array.from({ length: users }, (_, at) => userOf(at))
  })
  const before = await server.ask(calls.memory, {})
  await receiver.ask(calls.receive, { over, url, tickets })
  const pieces = quick ? 25 : 100
  const bytes: Array<number> = []
  const processorTime: Array<number> = []
  let known = await receiver.ask(calls.traffic, { upTo: 0 })

  const contestant: Contestant = async (round) => {
    const used = await server.ask(calls.cpu, {})
    const { place } = await server.ask(calls.play, { of, pieces })
    const now = await receiver.ask(calls.traffic, { upTo: place })
    check(now.place === place, `the logs have come to ${place}, the devices to ${now.place}`)
    // Pieces that come within one window, on a machine that is busy, are one event.
    const events = now.place - known.place
    const each = (now.bytes - known.bytes) / events
    if (round >= 0) {
      bytes.push(each)
      processorTime.push((await server.ask(calls.cpu, {}) - used) / events)
    }
    known = now
    return each
  }

  const figure = (unit: Figure["unit"], samples: ReadonlyArray<number>): Figure => ({
    contestant: name,
    unit,
    value: summarize(samples)
  })
  return {
    contestant,
    figures: () => ({ bytes: figure("bytes", bytes), processorTime: figure("seconds", processorTime) }),
    /** What the server holds for each connection once all has been played. */
    held: async (): Promise<Figure> => {
      const after = await server.ask(calls.memory, {})
      return figure("bytes", [(after.heap + after.external - before.heap - before.external) / users])
    }
  }
}

const ask = (over: Over, of: Of, chosen: typeof variants, settings: Settings): Promise<ReadonlyArray<Comparison>> =>
  withHelpers(async (start) => {
    const contestants = await Promise.all(
      [["no compression", off] as const, ...chosen].map(async ([name, compression]) =>
        [name, await makeContestant(start, name, compression, over, of, settings.quick)] as const
      )
    )
    await interleave(
      Object.fromEntries(contestants.map(([name, { contestant }]) => [name, contestant])),
      "bytes",
      settings.quick ? { rounds: 1, warmUps: 1 } : { rounds: 5, warmUps: 2 },
      settings
    )
    const [first, ...others] = contestants
    check(first !== undefined, "there is no baseline")
    const baseline = first[1].figures()
    const held = await first[1].held()
    const what = of === "text" ? "a text_delta" : "an event of a whole run"
    const comparisons: Array<Comparison> = []
    for (const [name, contestant] of others) {
      const { bytes, processorTime } = contestant.figures()
      const isAimedAt = name === "context takeover" && of === "text"
      comparisons.push(
        compare(`bytes over ${over} for ${what}, ${name}`, bytes, baseline.bytes, isAimedAt ? atMost(0.3) : undefined),
        compare(
          `the server's processor time over ${over} for ${what}, ${name}`,
          processorTime,
          baseline.processorTime,
          isAimedAt ? atMost(1.5) : undefined
        ),
        compare(`heap and buffers for a connection over ${over}, after ${what}, ${name}`, await contestant.held(), held)
      )
    }
    return comparisons
  })

export const question: Question = {
  asks: "what compression wins and costs",
  answer: async (settings) => {
    const few = variants.filter(([, { level, threshold }]) => level === undefined && threshold === undefined)
    const comparisons = [
      ...await ask("WebSocket", "text", settings.quick ? few : variants, settings),
      ...await ask("WebSocket", "runs", few, settings),
      ...await ask("SSE", "text", few, settings),
      ...await ask("SSE", "runs", few, settings)
    ]
    return {
      comparisons,
      notes: [`${users} connections of as many users, with a piece of text each 20 ms`]
    }
  }
}
