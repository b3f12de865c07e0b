/**
 * An append leaves the same behind on its short path and in full: for steps drawn at random, on logs at their bounds, with
 * emitters of one user in turn, one of them over a connection that loses answers. `SEED=n` replays one.
 */
import { assert, describe, it } from "@effect/vitest"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { ConfigProvider, Effect, Metric, Schedule } from "effect"
import { Broker } from "effect-emitter"
import type { Envelope } from "effect-emitter/protocol"
import { AppendScript } from "../../../src/broker/redis/operations/Appender.ts"
import * as Numbers from "../../../src/broker/redis/codec/LogState.ts"
import { append, appendInFull } from "../../../src/broker/redis/scripts/AppendLua.ts"
import { checkpoint } from "../../../src/broker/redis/scripts/CheckpointLua.ts"
import { put, withdraw } from "../../../src/broker/redis/scripts/CommandLua.ts"
import { keep } from "../../../src/broker/redis/scripts/KeepLua.ts"
import { view } from "../../../src/broker/redis/scripts/ViewLua.ts"
import * as RedisEntry from "../../../src/broker/redis/codec/Entry.ts"
import { backend } from "../../../src/cli/backend/redis/RedisBackend.ts"
import { readActive } from "../../../src/broker/redis/scripts/StandingLua.ts"
import type { Script } from "../../../src/broker/redis/scripts/Script.ts"
import * as Reply from "../../../src/broker/redis/codec/Reply.ts"
import * as Names from "../../../src/protocol/values/Names.ts"
import { RunFold } from "../../../src/protocol/run/RunSnapshot.ts"
import { RunId, ThreadId, type UserId } from "../../../src/protocol/values/Identity.ts"
import { isDeepStrictEqual } from "node:util"
import { createClient } from "redis"
import type { RedisServer } from "../../support/redis.ts"
import { type Draw, forSeeds } from "../../support/random.ts"
import { envelope, newUser, plain, plenty } from "../events.ts"
import * as LogState from "./logState.ts"
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
  | { readonly _tag: "handOver"; readonly run: RunId }
  | { readonly _tag: "keep"; readonly run: RunId; readonly knows: boolean }
  | { readonly _tag: "fold" }
  | { readonly _tag: "command"; readonly run: RunId }
  | { readonly _tag: "revoke" }
  | { readonly _tag: "break"; readonly how: "moved" | "unreadable" | "cut" | "vanished" }

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
  return Array.from({ length: 60 }, (): Step => {
    const from = draw.pick([0, 0, 1] as const)
    if (draw.chance(0.75)) return { _tag: "append", from, batch: drawBatch(from), loses: draw.chance(0.04) }
    const run = draw.pick(runs)
    return draw.pick<() => Step>([
      () => ({ _tag: "look" }),
      () => ({ _tag: "look" }),
      () => ({ _tag: "snapshots" }),
      () => ({ _tag: "acknowledge" }),
      () => ({ _tag: "letGo", from, run }),
      () => ({ _tag: "endLost", from, run }),
      () => ({ _tag: "handOver", run }),
      () => ({ _tag: "handOver", run }),
      () => ({ _tag: "keep", run, knows: draw.chance(0.7) }),
      () => ({ _tag: "keep", run, knows: draw.chance(0.7) }),
      () => ({ _tag: "fold" }),
      () => ({ _tag: "fold" }),
      () => ({ _tag: "command", run }),
      () => ({ _tag: "revoke" }),
      () => ({ _tag: "break", how: draw.pick(["moved", "unreadable", "cut", "vanished"]) })
    ])()
  })
}

type Ask = (...command: Array<string>) => Promise<unknown>

/** Two nodes over one prefix, the first over a connection that can lose an answer. Their names are the same under each prefix. */
const pair = Effect.fnUntraced(
  function*(port: number, ask: Ask, user: UserId, options: NodeOptions, scripts: readonly [Script, Script]) {
    const proxy = yield* redisProxy(port)
    const named = (name: string) => Effect.provideService(Names.Names, Names.sequence(name))
    const first = yield* nodeWith(scripts[0], proxy.url, options).pipe(named("x"))
    const second = yield* nodeWith(scripts[1], `redis://127.0.0.1:${port}`, options).pipe(named("y"))
    const key = (part: string) => `${options.prefix}:{${user}}:${part}`
    return {
      nodes: [first, second] as const,
      proxy,
      ask: (...command: Array<string>) => Effect.promise(() => ask(...command)),
      key
    }
  }
)

type Pair = Effect.Success<ReturnType<typeof pair>>

/** The same, but for what time it is: endings of lost runs are of now, and all else of long ago. */
const timeless = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null).replaceAll(/\d{12,}/gu, "0"))

const toMap = (reply: unknown): ReadonlyMap<string, string> => {
  const flat = Reply.list(reply).map(Reply.text)
  return new Map(flat.flatMap((name, n) => n % 2 === 0 ? [[name, flat[n + 1] ?? ""] as const] : []))
}

const everything =
  `return { redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3]),
  redis.call('XRANGE', KEYS[4], '-', '+') }`

/** All that the keys of the log hold, at one moment. */
const held = ({ ask, key }: Pair) =>
  Effect.map(ask("EVAL", everything, "4", ...["meta", "sources", "runs", "log"].map(key)), (reply) => {
    const [meta, sources, runs, blocks] = Reply.list(reply)
    return { meta: toMap(meta), sources: toMap(sources), runs: toMap(runs), blocks: toBlocks(blocks) }
  })

/** The blocks of a log, and of each the offsets of its first event and of the one behind its last. */
const toBlocks = (reply: unknown) =>
  Reply.list(reply).map((block) => {
    const [id, fields] = Reply.list(block)
    const [, about, , sizes, , events] = Reply.list(fields).map(Reply.text)
    const from = Number.parseInt(Reply.text(id), 10)
    const to = from + Number((about ?? "").split(" ")[1])
    return { from, to, sizes: sizes ?? "", as: [id, about, sizes, events] }
  })

const stateIn = (meta: ReadonlyMap<string, string>): LogState.State | undefined => {
  const text = meta.get(" ")
  return text === undefined ? undefined : LogState.read(text)
}

/** Runs one of the other scripts over the log, as a process with the same bounds would. */
const runScript = (over: Pair, { lua }: Script, state: LogState.State, at: number, ...args: ReadonlyArray<string>) => {
  const keys = ["log", "meta", "sources", "runs"].map(over.key)
  return over.ask("EVAL", lua, "4", ...keys, `e${at}`, `${state.server} ${state.limits}`, ...args)
}

const channelOf = (user: UserId) => `channel:{${user}}`

/** Does one step, and gives what came of it. */
const take = Effect.fnUntraced(function*(over: Pair, user: UserId, step: Step, at: number) {
  const { ask, key, nodes, proxy } = over
  const { meta } = yield* held(over)
  const state = stateIn(meta)
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
    case "handOver": {
      // From whoever has it to the other.
      const holder = meta.get(step.run)?.startsWith("x") === true ? 0 : 1
      yield* persist(nodes[holder].letGo(user, [step.run]))
      return yield* persist(nodes[holder === 0 ? 1 : 0].takeOver(user, step.run))
    }
    case "keep": {
      const field = readActive(meta.get(step.run) ?? "")
      if (state === undefined || field === undefined) return "nothing to keep"
      const run = {
        run: step.run,
        thread: ThreadId.make(field.thread),
        startedAt: field.startedAt === "" ? undefined : Number(field.startedAt),
        epoch: step.knows ? state.epoch : "another",
        state: new RunFold().snapshot()
      }
      const args = [channelOf(user), field.lease, ...RedisEntry.toHeld([run])]
      return Reply.list(yield* runScript(over, keep, state, at, ...args)).slice(1)
    }
    case "fold": {
      if (state === undefined) return "nothing to fold"
      const seen = RedisEntry.toLogView(yield* runScript(over, view, state, at, "", "0", "0", "0", "all"))
      // Another may be faster, which comes to the same.
      return yield* Effect.asVoid(
        runScript(over, checkpoint, state, at, ...RedisEntry.toCheckpoint(RedisEntry.toFolded(32, seen)))
      )
    }
    case "command": {
      const keys = ["commands", "outcomes", "meta", "runs"].map(key)
      const id = [user, "process:", "60000", `c${at}`, "d", step.run]
      const bounds = ["60000", "600000", "64", "1024", "1000000"]
      const sent = yield* ask("EVAL", put.lua, "4", ...keys, ...id, "{}", "z", ...bounds, state?.server ?? "", "0")
      return [sent, yield* ask("EVAL", withdraw.lua, "4", ...keys, ...id)]
    }
    case "revoke":
      return yield* nodes[1].revoke(user)
    case "break": {
      if (state === undefined) return "nothing to break"
      if (step.how === "moved") {
        return yield* ask("HSET", key("meta"), " ", LogState.write({ ...state, server: "another" }))
      }
      if (step.how === "unreadable") return yield* ask("HSET", key("meta"), " ", "1 2 3")
      // Of one block nothing is left to be seen.
      return step.how === "cut" && state.blocks !== "1"
        ? yield* Effect.asVoid(ask("XTRIM", key("log"), "MAXLEN", "1"))
        : yield* ask("DEL", key("log"))
    }
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

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((one, two) => one + two, 0)

/** What there is of the log, once it is sure that its keys agree. How much is still kept but not served depends on when it is folded. */
const look = Effect.fnUntraced(function*(over: Pair, what: string) {
  const { blocks, meta, runs, sources } = yield* held(over)
  const state = stateIn(meta)
  if (state === undefined) return undefined
  const number = (name: typeof Numbers.numbers[number]) => Number(state[name])
  const [first, last] = [number("first"), number("last")]
  const fields = new Map([...meta].filter(([name]) => !name.startsWith(" ")))

  // What other keys have is counted by the state.
  assert.strictEqual(number("blocks"), blocks.length, `${what}: blocks`)
  if (blocks.length > 0) assert.strictEqual(last, (blocks.at(-1)?.to ?? 1) - 1, `${what}: last`)
  const served = blocks.flatMap(({ from, sizes }) =>
    Array.from(sizes.matchAll(/\d+/gu), ([size], n) => ({ offset: from + n, size: Number(size) }))
  ).filter(({ offset }) => offset >= first)
  assert.strictEqual(number("bytes"), sum(served.map(({ size }) => size)), `${what}: bytes`)
  assert.strictEqual(served.length, last - first + 1, `${what}: served`)
  const ended = [...fields.values()].filter((value) => /^[!.]\n/u.test(value)).length
  assert.deepStrictEqual([number("active"), number("ended")], [fields.size - ended, ended], `${what}: runs`)
  if (sources.size > 0 || number("sourced") > 0) {
    assert.strictEqual(sources.get(" "), `${state.sourced};${sources.size - 1}`, `${what}: sources`)
  }
  if (runs.size > 0) assert.strictEqual(runs.get(" "), `${state.folded};${runs.size - 1}`, `${what}: folded runs`)
  if (state.source !== "") assert.isTrue(sources.has(state.source), `${what}: its source`)

  // How far it may grow is as its limits say.
  const [ttl = 0, maxEvents = 0, maxBytes = 0, maxAge = 0] = state.limits.split(" ").map(Number)
  if (maxEvents > 0) {
    const till = first > last ? 0 : Math.min(
      number("since") + maxAge + Math.floor(maxAge / 16),
      Math.round(number("touched") + ttl / 16)
    )
    assert.include([0, till], number("till"), `${what}: till`)
    assert.strictEqual(number("mostBytes"), maxBytes + Math.floor(maxBytes / 16), `${what}: mostBytes`)
    const mostLast = first - 1 + maxEvents + Math.floor(maxEvents / 16)
    assert.include(
      [mostLast, number("till") === 0 ? number("mostLast") : mostLast],
      number("mostLast"),
      `${what}: mostLast`
    )
  }

  // Whoever reads the numbers of sources reads those of the last event's in the state.
  const taken = new Map([...sources].filter(([name]) => name !== " "))
  if (state.source !== "") taken.set(state.source, `${last};${state.taken}`)
  return {
    first,
    head: [last, state.active, state.ended, Object.fromEntries(taken), timeless(Object.fromEntries(fields))],
    served: [
      state.bytes,
      meta.get(" ack"),
      timeless(blocks.flatMap(({ as, to }) => to > first ? [as] : []))
    ]
  }
})

/** Looks until both are the same: where a log began anew its emitters write down where their runs stand, a moment later. */
const settled = <A extends readonly [{ readonly head: unknown } | undefined, { readonly head: unknown } | undefined]>(
  look: Effect.Effect<A>
): Effect.Effect<A> =>
  Effect.repeat(look, {
    while: ([one, two]) => !isDeepStrictEqual(one?.head, two?.head),
    schedule: Schedule.spaced("20 millis"),
    times: 100
  })

/** Has both pairs do the same, and compares what came of each step and what it left behind. Gives the paths that were taken. */
const compare = (port: number, ask: Ask) => (draw: Draw, seed: number) =>
  Effect.gen(function*() {
    const limits = draw.pick([
      { maxEvents: 20, maxBytes: 100_000 },
      { maxEvents: 48, maxBytes: 3_000 },
      { maxEvents: 1_000, maxBytes: 4_000 },
      { maxEvents: 1_000, maxBytes: 100_000 }
    ])
    // Every other time the second emitter knows one path.
    const other = seed % 2 === 0 ? append : appendInFull
    const user = newUser(`seed${seed}`)
    const short = yield* pair(port, ask, user, { ...limits, prefix: `short${seed}` }, [append, other])
    const full = yield* pair(port, ask, user, { ...limits, prefix: `full${seed}` }, [appendInFull, appendInFull])

    let isBroken = false
    for (const [at, step] of drawSteps(draw).entries()) {
      const what = `step ${at}, ${JSON.stringify(step).slice(0, 200)}`
      // What was broken is found out by whoever looks at all of it; to others it may not matter, or not to one of the two.
      if (isBroken) yield* Effect.forEach([short, full], ({ nodes }) => nodes[1].snapshots(user))
      const [here, there] = yield* Effect.all([take(short, user, step, at), take(full, user, step, at)], {
        concurrency: 2
      })
      isBroken = step._tag === "break"
      if (isBroken) continue
      const [one, two] = yield* settled(Effect.all([look(short, what), look(full, what)], { concurrency: 2 }))
      // Where a repeated event stood that is no longer served, only the one that still keeps it can tell.
      const placed = (answer: unknown) =>
        typeof answer === "number" && step._tag === "append"
          ? Math.max(answer, (two?.first ?? 1) - 1)
          : timeless(answer)
      assert.deepStrictEqual(placed(here), placed(there), what)
      assert.deepStrictEqual(one?.head, two?.head, what)
      assert.isAtMost(
        (two?.first ?? 1) - (one?.first ?? 1),
        limits.maxEvents / 16 + limits.maxBytes / 16 / 100,
        `${what}: too much is kept`
      )
      // Who looks drops what is past the bounds, and then all is the same.
      if (step._tag === "look" || step._tag === "snapshots") assert.deepStrictEqual(one, two, what)
    }
    yield* Effect.forEach([short, full], ({ nodes }) => nodes[1].head(user))
    const [one, two] = yield* settled(Effect.all([look(short, "at the end"), look(full, "at the end")]))
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
  "somebody waits for the run": {
    // As it stands, but for the mark.
    disturb: ({ key, send }) =>
      Effect.flatMap(send("HGET", `${key}:meta`, "r"), (reply) => {
        const [lease = "", thread = ""] = reply.slice(reply.indexOf("\r\n") + 2).split("\n")
        return send("HSET", `${key}:meta`, "r", `${lease}\n${thread}\n1>y.0\n`)
      })
  },
  "the run is another's": { disturb: ({ key, send }) => send("HSET", `${key}:meta`, "r", "y.0\nt\n1\n") },
  "the run ended": { disturb: ({ key, send }) => send("HSET", `${key}:meta`, "r", ".\n1\n1\n") },
  "its source is not the last event's, and the numbers of others are of another time": {
    disturb: ({ broker, key, send, user }) =>
      Effect.andThen(broker.append(user, [ofRun(1, "r", "t")]), send("HSET", `${key}:sources`, " ", "1;2"))
  },
  "its source is not the last event's, and its number was taken": {
    disturb: ({ broker, user }) => broker.append(user, [ofRun(1, "r", "t")]),
    batch: [ofRun(2)]
  },
  "the log began on another server": {
    disturb: ({ send, user }) => LogState.change({ send }, user, { server: "another" })
  },
  "it was written under other bounds": {
    disturb: ({ send, user }) => LogState.change({ send }, user, { limits: "1 2 3 4" })
  },
  "its time to live is to be renewed, or its oldest event is too old": {
    disturb: ({ send, user }) => LogState.change({ send }, user, { till: String(Date.now() - 1) })
  },
  "it has too many bytes": { disturb: ({ send, user }) => LogState.change({ send }, user, { mostBytes: "100" }) },
  "it has too many events": { disturb: ({ send, user }) => LogState.change({ send }, user, { mostLast: "2" }) },
  "its state cannot be read": { disturb: ({ key, send }) => send("HSET", `${key}:meta`, " ", "1 2 3") },
  "its state is gone": { disturb: ({ key, send }) => send("HDEL", `${key}:meta`, " ") },
  "its stream was cut": { disturb: ({ key, send }) => send("XTRIM", `${key}:log`, "MAXLEN", "1") },
  "its stream is gone": { disturb: ({ key, send }) => send("DEL", `${key}:log`) }
}

describe.skipIf(program === undefined)("RedisBroker, an append on its short path", () => {
  it.live(
    "is taken by the event after the other of a run, and by those of none",
    () =>
      withServer({}, ({ send, url }) =>
        Effect.gen(function*() {
          const broker = yield* nodeWith(append, url, {})
          const user = newUser()
          yield* broker.append(user, [ofRun(1)])
          for (let n = 2; n <= 5; n++) yield* broker.append(user, [ofRun(n)])
          assert.deepStrictEqual(yield* taken, { short: 4, full: 1 })
          yield* broker.append(user, [envelope({ sequence: 6 }), envelope({ sequence: 7 })])
          assert.deepStrictEqual(yield* taken, { short: 5, full: 1 })
          assert.strictEqual((yield* broker.head(user)).offset, 7)
          // What is of no run belongs to the checkpoint before any run, since there is nothing to fold of it.
          const other = newUser()
          for (let n = 1; n <= 3; n++) yield* broker.append(other, [envelope({ sequence: n })])
          yield* broker.append(other, [envelope({ sequence: 4 }), ofRun(5), envelope({ sequence: 6 })])
          assert.strictEqual(yield* LogState.partOf({ send }, other, "checkpoint"), "4")
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
            assert.deepStrictEqual(yield* taken, { ...before, short: before.short + 1 }, `before: ${why}`)
            if (disturb !== undefined) yield* disturb({ broker, user, send, key: `emitter:{${user}}` })
            const ready = yield* taken
            yield* broker.append(user, batch)
            assert.deepStrictEqual(yield* taken, { ...ready, full: ready.full + 1 }, why)
            assert.isTrue(yield* LogState.countsRuns({ send }, user), why)
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
          const firstOf = Effect.map(LogState.partOf({ send }, user, "first"), Number)
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
    "takes numbers that the command line then knows of",
    () =>
      withServer({}, ({ url }) =>
        Effect.gen(function*() {
          const broker = yield* nodeWith(append, url, {})
          const user = newUser()
          for (let n = 1; n <= 3; n++) yield* broker.append(user, [ofRun(n)])
          const odd = "t:1-9,%d"
          for (let n = 1; n <= 3; n++) yield* broker.append(user, [ofRun(n, "r", odd)])
          assert.deepStrictEqual(yield* taken, { short: 4, full: 2 })
          const known = yield* Effect.forEach(
            [["s.", 3], ["s.", 4], [`${odd}.`, 3], [`${odd}.`, 4], ["u.", 1]] as const,
            ([source, sequence]) => backend.taken(user, source, sequence)
          )
          assert.deepStrictEqual(known, ["taken", "free", "taken", "free", "unknown"])
          assert.deepStrictEqual(yield* backend.usersOf([{ run: RunId.make("r") }], () => undefined), [user])
        }).pipe(
          Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { REDIS_URL: url } }))),
          Effect.provideService(Metric.MetricRegistry, new Map())
        )),
    120_000
  )

  it.live(
    "is not taken once the oldest event may be too old, nor where no event is left",
    () =>
      withServer({}, ({ send, url }) =>
        Effect.gen(function*() {
          const user = newUser()
          const broker = yield* nodeWith(append, url, { maxAge: "1 minute" })
          yield* broker.append(user, [ofRun(1)])
          const since = Date.now() - 59_000
          yield* LogState.change({ send }, user, { since: String(since) })
          yield* broker.append(user, [ofRun(1, "r", "t")])
          assert.strictEqual(yield* LogState.partOf({ send }, user, "till"), String(since + 60_000 + 60_000 / 16))

          const forgetful = yield* nodeWith(append, url, { maxAge: "20 millis" })
          yield* Effect.sleep("50 millis")
          yield* forgetful.head(user)
          const state = yield* LogState.find({ send }, user)
          assert.deepInclude(state, { first: "3", last: "2", till: "0" })
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
          // Nor where another source was the last.
          for (const n of [1, 2]) yield* broker.append(user, [ofRun(n, "r", "t")])
          const before = yield* state
          yield* send("ACL", "SETUSER", "app", "-xadd")
          yield* Effect.flip(broker.append(user, [ofRun(sequence)]))
          yield* send("ACL", "SETUSER", "app", "+xadd")
          assert.deepStrictEqual(yield* state, before, "of another source")
          yield* broker.append(user, [ofRun(sequence++)])
          // What readers could not be told of is in the log, and the next append fails by it.
          yield* send("ACL", "SETUSER", "app", "-publish")
          assert.strictEqual((yield* broker.append(user, [ofRun(sequence++)])).offset, sequence + 1)
          yield* Effect.flip(broker.append(user, [ofRun(sequence)]))
        })),
    120_000
  )

  it.live(
    "leaves the same behind as in full, at the bounds of a log, with emitters in turn and answers lost",
    () => compareAll(seed === undefined ? { from: 1, count: 6 } : { from: seed, count: 1 }),
    120_000
  )
})
