/**
 * What is saved of runs is what their events fold to, whether a process folded what it appended or read it back: with
 * emitters in turn, answers lost, repetitions, and logs that moved. `SEED=n` replays one.
 */
import { assert, describe, it } from "@effect/vitest"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { Effect, Metric, type Scope } from "effect"
import type { Envelope } from "effect-emitter/protocol"
import { createClient } from "redis"
import * as RedisBlock from "../../../src/broker/redis/codec/Block.ts"
import * as Reply from "../../../src/broker/redis/codec/Reply.ts"
import * as SavedRuns from "../../../src/broker/memory/SavedRuns.ts"
import { FoldBounds } from "../../../src/broker/redis/operations/Checkpointer.ts"
import type { UserId } from "../../../src/protocol/values/Identity.ts"
import type { RedisServer } from "../../support/redis.ts"
import { type Draw, forSeeds } from "../../support/random.ts"
import { envelope, eventually, newUser } from "../events.ts"
import * as LogState from "./logState.ts"
import { persist, program, startNode, withServer } from "./redisNode.ts"
import { redisProxy } from "./redisProxy.ts"

type Batch = NonEmptyReadonlyArray<Envelope.Envelope>

/** No call has to be quick, no lease runs out, and nothing leaves the log. */
const roomy = {
  deadline: "30 seconds",
  silence: "60 seconds",
  lease: "3 minutes",
  poll: "2 minutes",
  maxEvents: 100_000,
  maxBytes: 100_000_000,
  maxRuns: 4
} as const

const alone = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provideService(effect, Metric.MetricRegistry, new Map()))

/** How often states were saved, by where they came from. */
const saved = Effect.map(Metric.snapshot, (all) => {
  const count = (from: string) =>
    all.reduce(
      (sum, { attributes, id, state }) =>
        id === "emitter_redis_checkpoints_total" && attributes?.["from"] === from && "count" in state
          ? sum + Number(state.count)
          : sum,
      0
    )
  return { kept: count("kept"), log: count("log") }
})

const whenSaved = (from: "kept" | "log", times: number) =>
  eventually(saved, (counts) => counts[from] === times, `saved ${times} times from ${from}`, 20)

let sequence = 0

const deltas = (count: number, source = "s"): Batch => {
  const one = () =>
    envelope({ source, sequence: ++sequence, run: "r", type: "text_delta", data: { messageId: "m", delta: "x" } })
  return [one(), ...Array.from({ length: count - 1 }, one)]
}

const withClient = <E>(
  body: (
    server: RedisServer,
    ask: (...command: Array<string>) => Promise<unknown>
  ) => Effect.Effect<void, E, Scope.Scope>
) =>
  withServer({}, (server) =>
    Effect.gen(function*() {
      const client = yield* Effect.acquireRelease(
        Effect.promise(() => createClient({ url: server.url, RESP: 2 }).on("error", () => {}).connect()),
        (client) => Effect.sync(() => client.destroy())
      )
      yield* alone(body(server, (...command) => client.sendCommand(command)))
    }), 100)

const everything = `return { redis.call('HGET', KEYS[2], ' ') or '', redis.call('HGETALL', KEYS[3]),
  redis.call('XRANGE', KEYS[1], '-', '+') }`

/** What is saved, by run, and what the events up to there fold to from the first one on. */
const look = (ask: (...command: Array<string>) => Promise<unknown>, user: UserId) =>
  Effect.promise(async () => {
    const keys = ["log", "meta", "runs"].map((part) => `emitter:{${user}}:${part}`)
    const [state, states, blocks] = Reply.list(await ask("EVAL", everything, "3", ...keys))
    const upTo = Number(LogState.read(Reply.text(state)).folded)
    const flat = Reply.list(states).map(Reply.text)
    const found = new Map(flat.flatMap((name, n) => n % 2 === 0 && name !== " " ? [[name, flat[n + 1]] as const] : []))
    const events = RedisBlock.entriesIn(blocks, 0).filter(({ offset }) => offset <= upTo)
    const runs = SavedRuns.fold(roomy.maxRuns, [], events)
    const wanted = new Map<string, string>(SavedRuns.changes(runs, [], 0).changed)
    return { upTo, found, wanted }
  })

type Step =
  | { readonly _tag: "append"; readonly from: 0 | 1; readonly batch: Batch; readonly loses: boolean }
  | { readonly _tag: "move" }

const drawSteps = (draw: Draw): ReadonlyArray<Step> => {
  const last = new Map<string, number>()
  const batches: Array<Batch> = []
  // A run that began here is written down again when its log moves, with what is known of it here: no events tell of that.
  const drawEvent = (source: string): Envelope.Envelope => {
    const sequence = (last.get(source) ?? 0) + 1
    last.set(source, sequence)
    const run = draw.chance(0.1) ? undefined : `run${draw.below(7)}`
    const type = draw.chance(0.03)
      ? draw.pick(["agent_completed", "agent_error"])
      : draw.pick(["text_delta", "text_delta", "agent_thinking", "tool_executing", "tool_completed", "usage_reported"])
    const id = draw.below(4)
    return envelope({
      source,
      sequence,
      type: run === undefined ? "custom" : type,
      at: 1_000 + sequence,
      ...(run === undefined ? {} : { run, thread: "t" }),
      data: {
        agentName: "a",
        reason: "failed",
        messageId: `m${id}`,
        delta: draw.pick(["é", "x", "👩‍🔬", "a\u2028"]),
        text: "thought",
        step: id,
        toolCallId: `t${id}`,
        toolName: "n",
        input: { q: "y".repeat(draw.below(60)) },
        output: null,
        isError: id === 0,
        durationMs: id,
        inputTokens: id,
        outputTokens: 1
      }
    })
  }
  const drawBatch = (from: 0 | 1): Batch => {
    if (batches.length > 0 && draw.chance(0.05)) return draw.pick(batches)
    const source = `s${from}`
    const batch: Batch = [drawEvent(source), ...Array.from({ length: draw.below(300) }, () => drawEvent(source))]
    batches.push(batch)
    return batch
  }
  return Array.from({ length: 50 }, (): Step => {
    if (draw.chance(0.04)) return { _tag: "move" }
    const from = draw.chance(0.08) ? 1 : 0
    return { _tag: "append", from, batch: drawBatch(from), loses: draw.chance(0.05) }
  })
}

describe.skipIf(program === undefined)("RedisBroker, the saved state of runs", () => {
  it.live(
    "is folded from what this process appended, and read back where it did not append all of it",
    () =>
      withClient(({ send, url }) =>
        Effect.gen(function*() {
          const nodes = [yield* startNode(url, roomy), yield* startNode(url, roomy)] as const
          const user = newUser()
          const rounds = Effect.fnUntraced(function*(from: "kept" | "log", times: number) {
            for (let n = 0; n < 3; n++) yield* nodes[0].append(user, deltas(200))
            yield* whenSaved(from, times)
          })
          yield* rounds("log", 1)
          yield* rounds("kept", 1)
          yield* rounds("kept", 2)
          // Another process appends.
          yield* nodes[1].append(user, deltas(1, "other"))
          yield* rounds("log", 2)
          yield* rounds("kept", 3)
          // A part of a batch was taken before.
          const again = deltas(10)
          yield* nodes[0].append(user, again)
          yield* nodes[0].append(user, [...again, ...deltas(10)])
          yield* rounds("log", 3)
          // The log has another checkpoint: the script takes none that goes on from elsewhere.
          yield* nodes[0].append(user, deltas(2))
          const checkpoint = Number(yield* LogState.partOf({ send }, user, "checkpoint"))
          yield* LogState.change({ send }, user, { checkpoint: String(checkpoint + 1) })
          yield* rounds("log", 4)
          yield* rounds("kept", 4)
          // The log goes on under another epoch.
          yield* LogState.change({ send }, user, { server: "another" })
          yield* rounds("log", 5)
          assert.deepStrictEqual(yield* saved, { kept: 4, log: 5 })
        })
      ),
    120_000
  )

  it.live(
    "is read back where there is no room for what this process appended",
    () =>
      withClient(({ url }) =>
        Effect.gen(function*() {
          const broker = yield* Effect.provideService(startNode(url, roomy), FoldBounds, { users: 1, bytes: 100_000 })
          const [ada, bob] = [newUser("ada"), newUser("bob")]
          let times = 0
          for (const user of [ada, bob, ada, bob]) {
            for (let n = 0; n < 3; n++) yield* broker.append(user, deltas(200))
            yield* whenSaved("log", ++times)
          }
          for (let n = 0; n < 3; n++) yield* broker.append(bob, deltas(200))
          yield* whenSaved("kept", 1)
        })
      ),
    120_000
  )

  it.live(
    "is what the events fold to, byte for byte, whatever comes between them",
    () =>
      withClient(({ port, send, url }, ask) =>
        forSeeds(seeds, (draw, seed) =>
          Effect.gen(function*() {
            const proxy = yield* redisProxy(port)
            const nodes = [yield* startNode(proxy.url, roomy), yield* startNode(url, roomy)] as const
            const user = newUser(`seed${seed}`)
            let known = 0
            const compare = Effect.map(look(ask, user), ({ found, upTo, wanted }) => {
              if (upTo > 0) assert.deepStrictEqual(found, wanted, `up to ${upTo}`)
              known = upTo
            })
            for (const step of drawSteps(draw)) {
              if (step._tag === "move") {
                if ((yield* LogState.find({ send }, user)) !== undefined) {
                  yield* LogState.change({ send }, user, { server: "another" })
                }
              } else {
                if (step.loses && step.from === 0) yield* proxy.lose("answer", step.batch[0].id)
                yield* persist(Effect.suspend(() => nodes[step.from].append(user, step.batch)))
              }
              const upTo = yield* LogState.partOf({ send }, user, "folded")
              if (Number(upTo ?? 0) !== known) yield* compare
            }
            yield* compare
            assert.isAbove(known, 1_000)
          }).pipe(Effect.scoped))
      ),
    120_000
  )
})

const seed = process.env["SEED"] === undefined ? undefined : Number(process.env["SEED"])
const seeds = seed === undefined ? { from: 1, count: 2 } : { from: seed, count: 1 }
