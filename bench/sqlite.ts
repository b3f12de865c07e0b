/**
 * How much does one file take as batches grow, how long is a critical event on its way over it, how soon is it there again
 * after a restart, and how large is it?
 *
 * Many users are appended to at once, each one batch at a time. The baseline inserts the same texts into a table of two
 * columns, on the event loop, in transactions as large as those that many users' batches share: without offsets, without
 * taking each event once, without bounds, without runs and without waking anybody, no program could write them for much
 * less.
 */
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { SqliteBroker } from "../src/broker/sqlite/index.ts"
import { Broker, Identity } from "../src/index.ts"
import { type Batch, envelopes, inBatches, longEnvelopes } from "./harness/batches.ts"
import { seconds } from "./harness/clock.ts"
import { latenciesOfServer } from "./harness/latencies.ts"
import { withHelpers } from "./harness/process.ts"
import {
  check,
  compare,
  type Comparison,
  figureAtMost,
  given,
  type Question,
  type Settings
} from "./harness/question.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { summarize } from "./harness/statistics.ts"
import { userOf } from "./harness/workload.ts"

const sizes = [1, 16, 64, 256]
const users = Array.from({ length: 64 }, (_, index) => Identity.UserId.make(userOf(index)))

/** So many events one transaction of the broker takes at most, at the size of these. */
const mostAtOnce = 1_000

type Synchronous = "normal" | "full"

const broker = async (file: string, synchronous: Synchronous, scope: Scope.Scope) =>
  Context.get(
    await Effect.runPromise(
      Layer.buildWithScope(SqliteBroker.layer({ file, synchronous, maxEvents: 1_000_000, maxBytes: 1e9 }), scope)
    ),
    Broker.Broker
  )

const ours = async (file: string, size: number, perUser: number, synchronous: Synchronous, scope: Scope.Scope) => {
  const { append } = await broker(file, synchronous, scope)
  let from = 0
  const contestant: Contestant = async () => {
    const work = users.map((user) => ({ user, batches: inBatches(envelopes(user, from, perUser), size) }))
    from += perUser
    const startedAt = seconds()
    const heads = await Effect.runPromise(
      Effect.forEach(work, ({ batches, user }) =>
        Effect.as(
          Effect.forEach(batches.slice(0, -1), (batch) => append(user, batch), { discard: true }),
          [user, batches.at(-1)] as const
        ).pipe(
          Effect.flatMap(([user, last]) => last === undefined ? Effect.die("no batch") : append(user, last))
        ), { concurrency: "unbounded" })
    )
    const spent = seconds() - startedAt
    check(heads.every(({ offset }) => offset === from), "not all events were appended")
    return perUser * users.length / spent
  }
  return contestant
}

const plain = (file: string, size: number, perUser: number, synchronous: Synchronous): Contestant => {
  const database = new DatabaseSync(file)
  database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL")
  database.exec(`PRAGMA synchronous = ${synchronous.toUpperCase()}; CREATE TABLE event (user TEXT, body TEXT)`)
  const insert = database.prepare("INSERT INTO event (user, body) VALUES (?, ?)")
  const atOnce = Math.min(mostAtOnce, users.length * size)
  let from = 0
  return (): Promise<number> => {
    const rows = users.flatMap((user) => envelopes(user, from, perUser).map(({ body }) => [user, body] as const))
    from += perUser
    const startedAt = seconds()
    for (let at = 0; at < rows.length; at += atOnce) {
      database.exec("BEGIN IMMEDIATE")
      for (const [user, body] of rows.slice(at, at + atOnce)) insert.run(user, body)
      database.exec("COMMIT")
    }
    return Promise.resolve(rows.length / (seconds() - startedAt))
  }
}

const appends = async (directory: string, scope: Scope.Scope, settings: Settings) => {
  const comparisons: Array<Comparison> = []
  for (const synchronous of ["normal", "full"] as const) {
    for (const size of sizes) {
      const perUser = (size === 1 ? 32 : 256) / (settings.quick && size < 256 ? 2 : 1)
      const file = join(directory, `${synchronous}-${size}`)
      const figures = await interleave(
        {
          "effect-emitter": await ours(`${file}.db`, size, perUser, synchronous, scope),
          "plain INSERT": plain(`${file}-plain.db`, size, perUser, synchronous)
        },
        "per second",
        settings.quick ? { rounds: 3, warmUps: 1 } : { rounds: 5, warmUps: 1 },
        settings
      )
      const what = size === 1 ? "one by one" : `in batches of ${size}`
      comparisons.push(
        compare(
          `events appended ${what} to a file (${synchronous})`,
          figures["effect-emitter"],
          figures["plain INSERT"]
        )
      )
    }
  }
  return comparisons
}

const latencyUsers = Array.from({ length: 20 }, (_, index) => userOf(index))

/** How long a critical event is on its way in one process, beside the same over memory. */
const latencies = (directory: string, settings: Settings): Promise<ReadonlyArray<Comparison>> =>
  withHelpers(async (start) => {
    const pace = { backgroundPerSecond: 1_000, probesPerSecond: 100, seconds: settings.quick ? 2 : 4 }
    const over = (name: string, ...args: ReadonlyArray<string>) =>
      latenciesOfServer(start, name, ["emitter-server.ts", "critical", ...args], "emitter", latencyUsers, pace)
    const contestants = {
      normal: await over("over a file", "normal", join(directory, "latency-normal.db")),
      full: await over("over a file", "full", join(directory, "latency-full.db")),
      memory: await over("over memory")
    }
    await interleave(
      {
        normal: contestants.normal.contestant,
        full: contestants.full.contestant,
        memory: contestants.memory.contestant
      },
      "seconds",
      settings.quick ? { rounds: 2, warmUps: 1 } : { rounds: 3, warmUps: 1 },
      settings
    )
    return (["normal", "full"] as const).flatMap((synchronous) =>
      ([["p50", 0.5], ["p99", 0.99]] as const).map(([name, part]) =>
        compare(
          `latency of a critical event, ${name}, beside 1,000 events/s over a file (${synchronous})`,
          contestants[synchronous].figure(part),
          contestants.memory.figure(part)
        )
      )
    )
  })

/** How large a file is of events with texts of so many characters, and of how many bytes their bodies are. */
const sizeOf = async (file: string, characters: number): Promise<Comparison> => {
  const count = Math.ceil(8_000_000 / characters / users.length)
  const scope = await Effect.runPromise(Scope.make())
  let body = 0
  try {
    const { append } = await broker(file, "normal", scope)
    await Effect.runPromise(
      Effect.forEach(users, (user) =>
        Effect.forEach(inBatches(longEnvelopes(user, count, characters), 16), (batch) => {
          for (const { bytes } of batch) body += bytes
          return append(user, batch)
        }), { concurrency: "unbounded", discard: true })
    )
  } finally {
    await Effect.runPromise(Scope.close(scope, Exit.void))
  }
  const events = count * users.length
  const held = {
    contestant: "effect-emitter",
    unit: "bytes",
    value: summarize([statSync(file).size / events])
  } as const
  return compare(
    `bytes of the file for an event with a text of ${characters.toLocaleString("en")} characters`,
    held,
    given("its text", body / events, held)
  )
}

/** A file with many events, and how soon a device is live after a restart. */
const restarts = async (directory: string, settings: Settings): Promise<ReadonlyArray<Comparison>> => {
  const events = settings.quick ? 100_000 : 1_000_000
  const file = join(directory, "restart.db")
  const perUser = Math.ceil(events / users.length)
  let body = 0
  const inLife = async <A>(use: (one: Broker.Broker["Service"]) => Promise<A>): Promise<A> => {
    const scope = await Effect.runPromise(Scope.make())
    try {
      return await use(await broker(file, "normal", scope))
    } finally {
      await Effect.runPromise(Scope.close(scope, Exit.void))
    }
  }
  await inLife(async ({ append }) => {
    for (const [index, user] of users.entries()) {
      settings.progress(`writing the log of user ${index + 1} of ${users.length}`)
      const batches: ReadonlyArray<Batch> = inBatches(envelopes(user, 0, perUser), 256)
      for (const batch of batches) for (const { bytes } of batch) body += bytes
      await Effect.runPromise(Effect.forEach(batches, (batch) => append(user, batch), { discard: true }))
    }
  })
  const size = statSync(file).size / (perUser * users.length)
  const samples: Array<number> = []
  for (let round = 0; round < (settings.quick ? 3 : 5); round++) {
    settings.progress(`restart ${round + 1}`)
    const startedAt = seconds()
    await inLife(async ({ head, pull, subscribe }) => {
      const [user] = users
      check(user !== undefined, "nobody is there")
      await Effect.runPromise(
        Effect.gen(function*() {
          yield* subscribe(user, () => {})
          const { epoch, offset } = yield* head(user)
          check(offset >= perUser, "events are missing")
          const slice = yield* pull(user, { epoch, offset: offset - 10 }, { maxEvents: 100, maxBytes: 100_000 })
          check(slice.entries.length === 10 && slice.gap === undefined, "the device does not resume")
        }).pipe(Effect.scoped)
      )
      samples.push(seconds() - startedAt)
    })
  }
  const live = { contestant: "effect-emitter", unit: "seconds", value: summarize(samples) } as const
  const held = { contestant: "effect-emitter", unit: "bytes", value: summarize([size]) } as const
  return [
    compare(
      `from the start of the broker on a file of ${events.toLocaleString("en")} events until a device is live`,
      live,
      given("one second", 1, live),
      figureAtMost(1)
    ),
    compare("bytes of the file for a short event", held, given("its text", body / (perUser * users.length), held))
  ]
}

export const question: Question = {
  asks: "appends to a file, by size of batch; latency over it; its restart and its size",
  answer: async (settings) => {
    const directory = mkdtempSync(join(tmpdir(), "effect-emitter-bench-"))
    const scope = await Effect.runPromise(Scope.make())
    try {
      return {
        comparisons: [
          ...await appends(directory, scope, settings),
          ...await latencies(directory, settings),
          ...await restarts(directory, settings),
          await sizeOf(join(directory, "long.db"), 2_000)
        ],
        notes: [`the file is in ${tmpdir()}: what "full" costs is what that disk takes to write`]
      }
    } finally {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      rmSync(directory, { recursive: true, force: true })
    }
  }
}
