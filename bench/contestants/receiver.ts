/**
 * The receiving process: opens connections in one of the dialects, reads every event, and holds what it reads against
 * what it must have received.
 */
import { seconds } from "../harness/clock.ts"
import { on, serve } from "../harness/process.ts"
import { Tally } from "../harness/tally.ts"
import { textOf } from "../harness/workload.ts"
import * as calls from "./calls.ts"
import { openers, type Received } from "./dialects.ts"
import { onCpu } from "./shared.ts"

type Outcome = (typeof calls.received.result)["Type"]

interface Expectation {
  /** The next event of each connection. */
  readonly next: Array<number>
  readonly end: number
  left: number
  frames: number
  readonly done: PromiseWithResolvers<Outcome>
}

let current: Expectation | undefined
let latest: Promise<Outcome> | undefined
let probes: Array<number> = []
let background = 0
let tally: Tally | undefined

const meet = (expected: Expectation, connection: number, events: ReadonlyArray<Received>): void => {
  expected.frames++
  const stride = expected.next.length
  for (const { data } of events) {
    const next = expected.next[connection] ?? Number.NaN
    if (data.step !== next || next >= expected.end || data.text !== textOf(next)) {
      current = undefined
      return expected.done.reject(new Error(`expected event ${next}, received ${JSON.stringify(data)}`))
    }
    expected.next[connection] = next + stride
  }
  expected.left -= events.length
  if (expected.left > 0) return
  current = undefined
  expected.done.resolve({ finishedAt: seconds(), frames: expected.frames })
}

const receive = (connection: number, events: ReadonlyArray<Received>): void => {
  if (current !== undefined) return meet(current, connection, events)
  const now = seconds()
  for (const { data, type } of events) {
    if (type !== "bench_probe" || data.sentAt === undefined) background++
    else if (tally !== undefined) tally.add(connection, data.step, now - data.sentAt)
    else probes.push(now - data.sentAt)
  }
}

serve(
  onCpu,
  on(calls.connect, async ({ dialect, tickets, url, urls, users }) => {
    const open = openers[dialect]
    // Few at a time, so that no server's queue of connections overflows.
    for (let at = 0; at < users.length; at += 50) {
      await Promise.all(
        users.slice(at, at + 50).map((user, index) =>
          open(
            { url: urls?.[at + index] ?? url, user, ticket: tickets[at + index] ?? "", resume: undefined },
            (events) => receive(at + index, events)
          )
        )
      )
    }
    return {}
  }),
  on(calls.expect, async ({ count, from, users }) => {
    const done = Promise.withResolvers<Outcome>()
    latest = done.promise
    latest.catch(() => undefined)
    const next = Array.from({ length: users }, (_, index) => from + index)
    current = { next, end: from + count, left: count, frames: 0, done }
    return {}
  }),
  on(calls.received, async () => {
    if (latest === undefined) throw new Error("nothing is expected")
    return latest
  }),
  on(calls.latencies, async (wanted) => {
    const deadline = seconds() + 30
    while (probes.length < wanted.probes || background < wanted.background) {
      if (seconds() > deadline) {
        throw new Error(
          `received ${probes.length} of ${wanted.probes} probes and ${background} of ${wanted.background} others`
        )
      }
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const result = { probes }
    probes = []
    background = 0
    return result
  }),
  on(calls.beginTally, async ({ from }) => {
    tally ??= new Tally()
    tally.begin(from)
    return {}
  }),
  on(calls.tally, async ({ count, withinSeconds }) => {
    if (tally === undefined) throw new Error("nothing is counted")
    const deadline = seconds() + withinSeconds
    while (tally.counts().delivered < count && seconds() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    return tally.counts()
  }),
  on(calls.catchUp, async ({ dialect, epoch, head, offset, ticket, url, user }) => {
    const caughtUp = Promise.withResolvers<{ readonly seconds: number; readonly frames: number }>()
    const started = seconds()
    let seen = offset
    let frames = 0
    const connection = await openers[dialect]({ url, user, ticket, resume: { epoch, offset } }, (events) => {
      frames++
      for (const event of events) {
        if (event.offset !== seen + 1) {
          return caughtUp.reject(new Error(`expected offset ${seen + 1}, received ${event.offset}`))
        }
        seen++
      }
      if (seen === head) caughtUp.resolve({ seconds: seconds() - started, frames })
    })
    try {
      return await caughtUp.promise
    } finally {
      await connection.close()
    }
  })
)
