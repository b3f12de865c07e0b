/**
 * An append leaves the same behind on its short path and in full: for steps drawn at random, on logs at their bounds, with
 * emitters of one user in turn, one of them over a connection that loses answers. `SEED=n` replays one.
 */
import { assert, describe, it } from "@effect/vitest"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { Effect, Metric } from "effect"
import { Broker } from "effect-emitter"
import type { Envelope } from "effect-emitter/protocol"
import { AppendScript } from "../../../src/broker/redis/operations/Appender.ts"
import { append, appendInFull } from "../../../src/broker/redis/scripts/AppendLua.ts"
import type { Script } from "../../../src/broker/redis/scripts/Script.ts"
import * as Reply from "../../../src/broker/redis/codec/Reply.ts"
import * as Names from "../../../src/protocol/values/Names.ts"
import { RunId, type UserId } from "../../../src/protocol/values/Identity.ts"
import { createClient } from "redis"
import type { RedisServer } from "../../support/redis.ts"
import { type Draw, forSeeds } from "../../support/random.ts"
import { envelope, newUser, plain, plenty } from "../events.ts"
import { type NodeOptions, persist, program, startNode, withServer } from "./redisNode.ts"
import { redisProxy } from "./redisProxy.ts"

type BrokerService = Broker.Broker["Service"]
type Batch = NonEmptyReadonlyArray<Envelope.Envelope>

/** No call has to be quick, and no lease runs out. */
const slowly = { deadline: "30 seconds", silence: "60 seconds", lease: "3 minutes", poll: "2 minutes" } as const

const nodeWith = (script: Script, url: string, options: NodeOptions) =>
  startNode(url, { ...slowly, ...options }).pipe(Effect.provideService(AppendScript, script))

type Step =
  | { readonly _tag: "append"; readonly from: 0 | 1; readonly batch: Batch; readonly loses: boolean }
  | { readonly _tag: "look" }
  | { readonly _tag: "snapshots" }
  | { readonly _tag: "acknowledge" }
  | { readonly _tag: "letGo"; readonly from: 0 | 1; readonly run: RunId }
  | { readonly _tag: "endLost"; readonly from: 0 | 1; readonly run: RunId }

const runs = [RunId.make("a"), RunId.make("b")] as const

/** Mostly one event after the other of each one's run; now and then a hole, a repeat, a start, an ending, another run or source. */
const drawSteps = (draw: Draw): ReadonlyArray<Step> => {
  const last = new Map<string, number>()
  const batches: Array<Batch> = []
  const drawEvent = (source: string, run: string | undefined): Envelope.Envelope => {
    const before = last.get(source) ?? 0
    const sequence = before + (draw.chance(0.04) ? 2 : 1)
    last.set(source, sequence)
    const type = run === undefined
      ? "custom"
      : draw.chance(0.05)
      ? draw.pick(["agent_started", "agent_completed"])
      : "agent_thinking"
    return envelope({
      source,
      sequence,
      type,
      at: 1_000 + sequence,
      ...(run === undefined ? {} : { run, thread: "t" }),
      data: { agentName: "a", text: "x".repeat(draw.below(80)) }
    })
  }
  const drawBatch = (from: 0 | 1): Batch => {
    if (batches.length > 0 && draw.chance(0.05)) return draw.pick(batches)
    const source = draw.chance(0.05) ? "other" : `s${from}`
    const run = draw.chance(0.2) ? undefined : draw.chance(0.95) ? runs[from] : draw.pick(runs)
    const more = Array.from({ length: draw.chance(0.7) ? 0 : draw.below(4) }, () => drawEvent(source, run))
    const batch: Batch = [drawEvent(source, run), ...more]
    batches.push(batch)
    return batch
  }
  return Array.from({ length: 40 }, (): Step => {
    const from = draw.pick([0, 0, 1] as const)
    if (draw.chance(0.85)) return { _tag: "append", from, batch: drawBatch(from), loses: draw.chance(0.04) }
    const _tag = draw.pick(["look", "look", "snapshots", "acknowledge", "letGo", "endLost"] as const)
    return _tag === "letGo" || _tag === "endLost" ? { _tag, from, run: draw.pick(runs) } : { _tag }
  })
}

/** Two nodes over one prefix, the first over a connection that can lose an answer. Their names are the same under each prefix. */
const pair = Effect.fnUntraced(function*(port: number, options: NodeOptions, scripts: readonly [Script, Script]) {
  const proxy = yield* redisProxy(port)
  const named = (name: string) => Effect.provideService(Names.Names, Names.sequence(name))
  const first = yield* nodeWith(scripts[0], proxy.url, options).pipe(named("x"))
  const second = yield* nodeWith(scripts[1], `redis://127.0.0.1:${port}`, options).pipe(named("y"))
  return { nodes: [first, second] as const, proxy }
})

type Pair = Effect.Success<ReturnType<typeof pair>>

/** The same, but for what time it is: endings of lost runs are of now, and all else of long ago. */
const timeless = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null).replaceAll(/\d{12,}/gu, "0"))

/** Does one step, and gives what came of it. */
const take = Effect.fnUntraced(function*({ nodes, proxy }: Pair, user: UserId, step: Step) {
  switch (step._tag) {
    case "append": {
      if (step.loses && step.from === 0) yield* proxy.lose("answer", step.batch[0].id)
      return yield* Effect.suspend(() => nodes[step.from].append(user, step.batch)).pipe(
        Effect.map(({ offset }): number | string => offset),
        Effect.catch((error) =>
          error.reason._tag === "RunLost" ? Effect.succeed(`lost ${error.reason.runs.join()}`) : Effect.fail(error)
        ),
        persist
      )
    }
    case "look":
      return yield* nodes[1].pull(user, { epoch: "another", offset: 0 }, plenty).pipe(
        Effect.map(({ entries, gap, head }) => ({ entries: entries.map(plain), to: gap?.to, head }))
      )
    case "snapshots":
      return (yield* nodes[1].snapshots(user, 0)).snapshots
    case "acknowledge":
      return yield* Effect.flatMap(nodes[1].head(user), (head) => nodes[1].acknowledge(user, head))
    case "letGo":
      return yield* persist(nodes[step.from].letGo(user, [step.run]))
    case "endLost":
      return yield* persist(nodes[step.from].endLost(user, [step.run]))
  }
})

/** How often appends took each path so far. */
const taken = Effect.map(Metric.snapshot, (all) => {
  const count = (path: string) =>
    all.reduce(
      (sum, { attributes, id, state }) =>
        id === "emitter_redis_appends_total" && attributes?.["path"] === path && "count" in state
          ? sum + Number(state.count)
          : sum,
      0
    )
  return { short: count("short"), full: count("full") }
})

/** Has both pairs do the same, and compares what came of each step and what it left behind. Gives the paths that were taken. */
const compare = (port: number, ask: (...command: Array<string>) => Promise<unknown>) => (draw: Draw, seed: number) =>
  Effect.gen(function*() {
    const limits = draw.pick([
      { maxEvents: 20, maxBytes: 100_000 },
      { maxEvents: 48, maxBytes: 3_000 },
      { maxEvents: 1_000, maxBytes: 4_000 },
      { maxEvents: 1_000, maxBytes: 100_000 }
    ])
    // Every other time the second emitter is of the version before, which knows one path.
    const other = seed % 2 === 0 ? append : appendInFull
    const short = yield* pair(port, { ...limits, prefix: `short${seed}` }, [append, other])
    const full = yield* pair(port, { ...limits, prefix: `full${seed}` }, [appendInFull, appendInFull])
    const user = newUser(`seed${seed}`)

    /** What there is of the log. How much of it is still kept but not served depends on when it is folded. */
    const stateOf = (prefix: string) =>
      Effect.promise(async () => {
        const key = (part: string) => `${prefix}:{${user}}:${part}`
        const [meta, sources, active] = await Promise.all(["meta", "sources", "active"].map(async (part) => {
          const flat = Reply.list(await ask("HGETALL", key(part))).map(Reply.text)
          return new Map(flat.flatMap((name, n) => n % 2 === 0 ? [[name, flat[n + 1] ?? ""] as const] : []))
        }))
        const first = Number(meta?.get("first") ?? 1)
        const blocks = Reply.list(await ask("XRANGE", key("log"), "-", "+")).flatMap((block) => {
          const [id, fields] = Reply.list(block)
          const [, about, , sizes, , events] = Reply.list(fields).map(Reply.text)
          const [, count, size] = (about ?? "").split(" ")
          const isServed = Number.parseInt(Reply.text(id), 10) + Number(count) > first
          return isServed ? [[id, count, size, sizes, events]] : []
        })
        const fields = (of: ReadonlyMap<string, string> | undefined) => timeless(Object.fromEntries(of ?? []))
        return {
          first,
          head: [meta?.get("last"), meta?.get("stood"), fields(sources), fields(active)],
          served: [meta?.get("bytes"), meta?.get("ack"), timeless(blocks)]
        }
      })
    const states = Effect.all([stateOf(`short${seed}`), stateOf(`full${seed}`)], { concurrency: 2 })

    for (const [at, step] of drawSteps(draw).entries()) {
      const what = `step ${at}, ${JSON.stringify(step).slice(0, 200)}`
      const [here, there] = yield* Effect.all([take(short, user, step), take(full, user, step)], { concurrency: 2 })
      const [one, two] = yield* states
      // Where a repeated event stood that is no longer served, only the one that still keeps it can tell.
      const placed = (answer: unknown) =>
        typeof answer === "number" ? Math.max(answer, two.first - 1) : timeless(answer)
      assert.deepStrictEqual(placed(here), placed(there), what)
      assert.deepStrictEqual(one.head, two.head, what)
      assert.isAtMost(
        two.first - one.first,
        limits.maxEvents / 16 + limits.maxBytes / 16 / 100,
        `${what}: too much is kept`
      )
      // Who looks drops what is past the bounds, and then all is the same.
      if (step._tag === "look" || step._tag === "snapshots") assert.deepStrictEqual(one, two, what)
    }
    yield* Effect.forEach([short, full], ({ nodes }) => nodes[1].head(user))
    const [one, two] = yield* states
    assert.deepStrictEqual(one, two, "at the end")
  }).pipe(Effect.scoped)

const compareAll = (seeds: { readonly from: number; readonly count: number }) =>
  withServer({}, ({ port, url }) =>
    Effect.gen(function*() {
      const client = yield* Effect.acquireRelease(
        Effect.promise(() => createClient({ url, RESP: 2 }).on("error", () => {}).connect()),
        (client) => Effect.sync(() => client.destroy())
      )
      yield* forSeeds(seeds, compare(port, (...command) => client.sendCommand(command)))
      const paths = yield* taken
      assert.isAbove(paths.short, 5 * seeds.count, JSON.stringify(paths))
      assert.isAbove(paths.full, 40 * seeds.count, JSON.stringify(paths))
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())), 100)

const seed = process.env["SEED"] === undefined ? undefined : Number(process.env["SEED"])

const ofRun = (sequence: number, run = "r", source = "s") =>
  envelope({ sequence, source, run, type: "agent_thinking", thread: "t", at: 1_000 + sequence })

const third: Batch = [ofRun(3)]

/** What may have become of a log, or is appended, that more must be done than add a block. */
const reasons: Record<string, {
  readonly disturb?: (
    over: {
      readonly broker: BrokerService
      readonly user: UserId
      readonly send: RedisServer["send"]
      readonly key: string
    }
  ) => Effect.Effect<unknown, Broker.BrokerError>
  readonly batch?: Batch
}> = {
  "a run starts": {
    batch: [envelope({ sequence: 3, run: "r", type: "agent_started", data: { agentName: "a" }, at: 5_000 })]
  },
  "a run ends": { batch: [envelope({ sequence: 3, run: "r", type: "agent_completed" })] },
  "the batch is of two runs": { batch: [ofRun(3), ofRun(4, "q")] },
  "the batch is of two sources": { batch: [ofRun(3), ofRun(1, "r", "t")] },
  "the batch has more events than a block": {
    batch: [ofRun(3), ...Array.from({ length: 70 }, (_, n) => ofRun(n + 4))]
  },
  "the batch has more bytes than are published": {
    batch: [envelope({ sequence: 3, run: "r", type: "agent_thinking", data: { text: "x".repeat(70_000) } })]
  },
  "its number was taken": { batch: [ofRun(2)] },
  "a number before it was left out": { batch: [ofRun(4)] },
  "its source is new": { batch: [ofRun(1, "r", "t")] },
  "its run is new": { batch: [ofRun(3, "q")] },
  "the run was let go": { disturb: ({ broker, user }) => broker.letGo(user, [RunId.make("r")]) },
  "somebody waits for the run": { disturb: ({ key, send }) => send("HSET", `${key}:active`, "r", "x.0\nt\n1>y.0\n") },
  "the run is another's": { disturb: ({ key, send }) => send("HSET", `${key}:active`, "r", "y.0\nt\n1\n") },
  "the run ended": { disturb: ({ key, send }) => send("HSET", `${key}:active`, "r", ".\n1\n1\n") },
  "where runs stand is of another time": { disturb: ({ key, send }) => send("HSET", `${key}:active`, " ", "9;1;0") },
  "the numbers taken are of another time": { disturb: ({ key, send }) => send("HSET", `${key}:sources`, " ", "1;1") },
  "the log began on another server": { disturb: ({ key, send }) => send("HSET", `${key}:meta`, "server", "another") },
  "its time to live is to be renewed": { disturb: ({ key, send }) => send("HSET", `${key}:meta`, "touched", "0") },
  "its oldest event is too old": { disturb: ({ key, send }) => send("HSET", `${key}:meta`, "since", "1") },
  "it has too many bytes": { disturb: ({ key, send }) => send("HSET", `${key}:meta`, "bytes", "4500000") },
  "it lacks a number": { disturb: ({ key, send }) => send("HDEL", `${key}:meta`, "last") },
  "its stream was cut": { disturb: ({ key, send }) => send("XTRIM", `${key}:log`, "MAXLEN", "1") },
  "its stream is gone": { disturb: ({ key, send }) => send("DEL", `${key}:log`) }
}

describe.skipIf(program === undefined)("RedisBroker, an append on its short path", () => {
  it.live(
    "is taken by the event after the other of a run, and by those of none",
    () =>
      withServer({}, ({ url }) =>
        Effect.gen(function*() {
          const broker = yield* nodeWith(append, url, {})
          const user = newUser()
          yield* broker.append(user, [ofRun(1)])
          for (let n = 2; n <= 5; n++) yield* broker.append(user, [ofRun(n)])
          assert.deepStrictEqual(yield* taken, { short: 4, full: 1 })
          yield* broker.append(user, [envelope({ sequence: 6 }), envelope({ sequence: 7 })])
          assert.deepStrictEqual(yield* taken, { short: 5, full: 1 })
          assert.strictEqual((yield* broker.head(user)).offset, 7)
        }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))),
    120_000
  )

  it.live(
    `is not taken where ${Object.keys(reasons).join(", or ")}`,
    () =>
      withServer({}, ({ send, url }) =>
        Effect.gen(function*() {
          const broker = yield* nodeWith(append, url, {})
          for (const [why, { batch = third, disturb }] of Object.entries(reasons)) {
            const user = newUser(why.replaceAll(" ", "-"))
            yield* broker.append(user, [ofRun(1)])
            const before = yield* taken
            yield* broker.append(user, [ofRun(2)])
            assert.deepStrictEqual(yield* taken, { ...before, short: before.short + 1 }, `before ${why}`)
            if (disturb !== undefined) yield* disturb({ broker, user, send, key: `emitter:{${user}}` })
            yield* broker.append(user, batch)
            assert.deepStrictEqual(yield* taken, { short: before.short + 1, full: before.full + 1 }, why)
          }
        }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))),
    120_000
  )

  it.live(
    "lets a log grow past its bounds by a sixteenth, which no reader sees, and then drops what is over",
    () =>
      withServer({}, ({ send, url }) =>
        Effect.gen(function*() {
          const [broker, reader] = [
            yield* nodeWith(append, url, { maxEvents: 32 }),
            yield* nodeWith(append, url, { maxEvents: 32 })
          ]
          const user = newUser()
          const firstOf = Effect.map(
            send("HGET", `emitter:{${user}}:meta`, "first"),
            (reply) => Number(reply.split("\r\n")[1])
          )
          for (let n = 1; n <= 34; n++) yield* broker.append(user, [envelope({ sequence: n })])
          assert.strictEqual(yield* firstOf, 1)
          yield* broker.append(user, [envelope({ sequence: 35 })])
          assert.strictEqual(yield* firstOf, 4)
          yield* broker.append(user, [envelope({ sequence: 36 })])
          const { entries, gap } = yield* reader.pull(
            user,
            { epoch: (yield* reader.head(user)).epoch, offset: 0 },
            plenty
          )
          assert.deepStrictEqual([gap?.reason, gap?.to, entries.length], ["retention", 4, 32])
          assert.strictEqual(yield* firstOf, 5)
        })),
    120_000
  )

  it.live(
    "writes nothing where a right is missing, says so, and goes on once it is granted",
    () =>
      withServer({}, ({ send, url }) =>
        Effect.gen(function*() {
          yield* send("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all")
          const broker = yield* nodeWith(append, url.replace("redis://", "redis://app:secret@"), {})
          const user = newUser()
          const state = Effect.forEach([["HGETALL", "meta"], ["HGETALL", "sources"], ["XRANGE", "log", "-", "+"]], (
            [command = "", part, ...more]
          ) => send(command, `emitter:{${user}}:${part}`, ...more))
          yield* broker.append(user, [ofRun(1)])
          let sequence = 2
          for (const command of ["hmget", "hset", "xadd", "xlen", "time"]) {
            yield* broker.append(user, [ofRun(sequence++)])
            const before = yield* state
            yield* send("ACL", "SETUSER", "app", `-${command}`)
            const error = yield* Effect.flip(broker.append(user, [ofRun(sequence)]))
            yield* send("ACL", "SETUSER", "app", `+${command}`)
            assert.strictEqual(error.blame, "broker", command)
            assert.deepStrictEqual(yield* state, before, command)
            assert.strictEqual((yield* broker.append(user, [ofRun(sequence++)])).offset, sequence - 1, command)
          }
          // What readers could not be told of is in the log, and the next append fails by it.
          yield* send("ACL", "SETUSER", "app", "-publish")
          assert.strictEqual((yield* broker.append(user, [ofRun(sequence++)])).offset, sequence - 1)
          yield* Effect.flip(broker.append(user, [ofRun(sequence)]))
        })),
    120_000
  )

  it.live(
    "leaves the same behind as in full, at the bounds of a log, with emitters in turn and answers lost",
    () => compareAll(seed === undefined ? { from: 1, count: 1 } : { from: seed, count: 1 }),
    120_000
  )
})
