/**
 * The memory broker and the Redis broker give equal traces for equal schedules: whatever is appended, repeated, pulled,
 * acknowledged and dropped, in whatever order. `SEED=n` replays one schedule.
 */
import { assert, describe, it } from "@effect/vitest"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { Context, Effect, Exit, Layer, Option, Scope } from "effect"
import { Broker } from "effect-emitter"
import type { Envelope } from "effect-emitter/protocol"
import type { UserId } from "../../../src/protocol/values/Identity.ts"
import { type Draw, forSeeds, seeded } from "../../support/random.ts"
import { envelope, newUser, plain, plenty } from "../events.ts"
import { type NodeOptions, program, startNode, withServer } from "./redisNode.ts"
import { patience } from "../../support/patience.ts"

type BrokerService = Broker.Broker["Service"]

type Step =
  | { readonly _tag: "append"; readonly batch: NonEmptyReadonlyArray<Envelope.Envelope> }
  | { readonly _tag: "pull"; readonly isOwn: boolean; readonly offset: number; readonly limits: Broker.PullLimits }
  | { readonly _tag: "snapshots"; readonly since: number | undefined }
  | { readonly _tag: "acknowledge"; readonly isOwn: boolean; readonly offset: number }
  | { readonly _tag: "acknowledged"; readonly offset: number }
  | { readonly _tag: "join" }
  | { readonly _tag: "leave" }
  | { readonly _tag: "wait"; readonly ms: number }

interface Schedule {
  readonly limits: NodeOptions
  readonly steps: ReadonlyArray<Step>
}

/** Events of a few emitters: new ones, holes, late ones that fill them, and repeats. */
const drawEnvelope = (draw: Draw, last: Map<string, number>): Envelope.Envelope => {
  const source = draw.pick(["s", "t", "u"])
  const before = last.get(source) ?? 0
  const sequence = draw.chance(0.25) ? 1 + draw.below(before + 1) : before + 1 + draw.below(2)
  last.set(source, Math.max(before, sequence))
  return envelope({
    source,
    sequence,
    type: draw.pick(["custom", "agent_started", "text_delta", "agent_completed"]),
    at: sequence,
    ...(draw.chance(0.8) ? { run: draw.pick(["a", "b", "c", "d"]) } : {}),
    ...(draw.chance(0.3) ? { thread: "t" } : {}),
    confirm: draw.chance(0.2),
    data: { messageId: "m", delta: "d".repeat(draw.below(60)) }
  })
}

const drawSchedule = (draw: Draw, ageMs: number | undefined): Schedule => {
  const last = new Map<string, number>()
  const batches: Array<NonEmptyReadonlyArray<Envelope.Envelope>> = []
  const kinds: ReadonlyArray<Exclude<Step["_tag"], "wait">> = [
    ...Array.from({ length: 8 }, () => "append" as const),
    ...Array.from({ length: 6 }, () => "pull" as const),
    "snapshots",
    "snapshots",
    "acknowledge",
    "acknowledge",
    "acknowledged",
    "join",
    "leave"
  ]
  const offset = () => draw.below(Array.from(last.values()).reduce((sum, n) => sum + n, 4))
  const drawStep = (): Step => {
    const _tag = draw.pick(kinds)
    switch (_tag) {
      case "append": {
        const earlier = draw.chance(0.15) && batches.length > 0 ? draw.pick(batches) : undefined
        const more: Array<Envelope.Envelope> = []
        while (draw.chance(0.6)) more.push(drawEnvelope(draw, last))
        const batch = earlier ?? [drawEnvelope(draw, last), ...more]
        batches.push(batch)
        return { _tag, batch }
      }
      case "pull":
        return {
          _tag,
          isOwn: draw.chance(0.9),
          offset: offset(),
          limits: { maxEvents: 1 + draw.below(12), maxBytes: draw.below(1500) }
        }
      case "snapshots":
        return { _tag, since: draw.chance(0.5) ? offset() : undefined }
      case "acknowledge":
        return { _tag, isOwn: draw.chance(0.8), offset: offset() }
      case "acknowledged":
        return { _tag, offset: offset() }
      default:
        return { _tag }
    }
  }
  const steps = Array.from({ length: 30 }, drawStep)
  return {
    limits: {
      maxEvents: draw.pick([3, 10, 1000]),
      maxBytes: draw.pick([400, 2000, 100_000]),
      maxRuns: draw.pick([2, 32]),
      ...(ageMs === undefined ? {} : { maxAge: `${ageMs} millis` as const })
    },
    // All of the first part is past its age in the second, and nothing of the second.
    steps: ageMs === undefined
      ? steps
      : [...steps, { _tag: "wait", ms: ageMs + 300 }, ...Array.from({ length: 15 }, drawStep)]
  }
}

/** What a broker answers, with the name of its epoch left out, and how long the longest part took between two waits. */
const play = Effect.fnUntraced(function*(broker: BrokerService, user: UserId, { steps }: Schedule) {
  // Whoever is read, or waited for, is not forgotten.
  yield* broker.subscribe(user, () => {})
  const { epoch: own } = yield* broker.head(user)
  const name = (epoch: string) => epoch === own ? "own" : epoch === "another" ? epoch : "unknown"
  const epochOf = (isOwn: boolean) => isOwn ? own : "another"
  const slice = ({ entries, gap, head, next, snapshots }: Broker.Slice) => ({
    gap: gap === undefined ? undefined : { ...gap, epoch: name(gap.epoch) },
    snapshots,
    entries: entries.map(plain),
    next: { ...next, epoch: name(next.epoch) },
    head
  })
  const readers: Array<Scope.Closeable> = []
  const acknowledged = new Set<number>()
  let partBegan = performance.now()
  let longestMs = 0
  const endPart = () => {
    longestMs = Math.max(longestMs, performance.now() - partBegan)
  }

  const playStep = Effect.fnUntraced(function*(step: Step) {
    switch (step._tag) {
      case "append": {
        const { offset } = yield* broker.append(user, step.batch)
        const whole = yield* broker.pull(user, { epoch: "another", offset: 0 }, plenty)
        // Where a repeated event stood that is no longer kept, nobody can tell.
        return { appended: Math.max(offset, whole.gap?.to ?? 0), whole: slice(whole) }
      }
      case "pull":
        return slice(yield* broker.pull(user, { epoch: epochOf(step.isOwn), offset: step.offset }, step.limits))
      case "snapshots": {
        const { position, snapshots } = yield* broker.snapshots(user, step.since)
        return { head: position.offset, epoch: name(position.epoch), snapshots }
      }
      case "acknowledge": {
        yield* broker.acknowledge(user, { epoch: epochOf(step.isOwn), offset: step.offset })
        const { offset: head } = yield* broker.head(user)
        if (step.isOwn && step.offset <= head) acknowledged.add(step.offset)
        return { head }
      }
      case "acknowledged": {
        const isDue = acknowledged.has(step.offset)
        const done = yield* broker.acknowledged(user, { epoch: own, offset: step.offset }).pipe(
          Effect.timeoutOption(isDue ? 5_000 * patience : 50)
        )
        assert.strictEqual(Option.isSome(done), isDue)
        return { isDue }
      }
      case "join": {
        const scope = yield* Scope.fork(yield* Effect.scope)
        yield* Scope.provide(broker.subscribe(user, () => {}), scope)
        readers.push(scope)
        return { readers: yield* broker.readers(user) }
      }
      case "leave": {
        const scope = readers.pop()
        if (scope !== undefined) yield* Scope.close(scope, Exit.void)
        return { readers: yield* broker.readers(user) }
      }
      case "wait":
        endPart()
        yield* Effect.sleep(step.ms)
        partBegan = performance.now()
        return {}
    }
  })
  const answers = yield* Effect.forEach(
    steps,
    (step) => Effect.map(playStep(step), (answer) => ({ step: step._tag, answer }))
  )
  endPart()
  return { answers, longestMs }
})

const seed = process.env["SEED"] === undefined ? undefined : Number(process.env["SEED"])

/** Plays a seed's schedule over both brokers. `false` where a part took longer than events are kept, which says nothing. */
const compare = (url: string, seed: number, ageMs: number | undefined) =>
  Effect.gen(function*() {
    const schedule = drawSchedule(seeded(seed), ageMs)
    const memory = Context.get(yield* Layer.build(Layer.fresh(Broker.layerMemory(schedule.limits))), Broker.Broker)
    // No call has to be quick.
    const node = startNode(url, { ...schedule.limits, deadline: "1 minute", silence: "2 minutes", lease: "5 minutes" })
    const [here, there] = yield* Effect.all([node, node])
    // A node that follows a user may still give what the log has dropped; so those who follow are on another.
    const redis = { ...here, subscribe: there.subscribe, acknowledged: there.acknowledged }
    const user = newUser(`seed${seed}`)
    const [one, other] = yield* Effect.all([play(memory, user, schedule), play(redis, user, schedule)], {
      concurrency: 2
    })
    if (ageMs !== undefined && Math.max(one.longestMs, other.longestMs) >= ageMs) return false
    for (const [at, expected] of one.answers.entries()) {
      assert.deepStrictEqual(other.answers[at], expected, `step ${at} of ${JSON.stringify(schedule.limits)}`)
    }
    return true
  }).pipe(Effect.scoped)

/** On a machine that is too slow for an age, the same again with one that is twice as long. */
const compareAged = Effect.fnUntraced(function*(url: string, seed: number) {
  let ageMs = 4_000
  while (!(yield* compare(url, seed, ageMs))) ageMs *= 2
})

/** Plays so many schedules, some at a time. */
const playAll = (url: string, hasAge: boolean, { count, first }: { readonly first: number; readonly count: number }) =>
  Effect.forEach(
    Array.from({ length: seed === undefined ? count : 1 }, (_, n) => (seed ?? first) + n),
    (from) => forSeeds({ from, count: 1 }, (_, one) => hasAge ? compareAged(url, one) : compare(url, one, undefined)),
    { concurrency: 6, discard: true }
  )

describe.skipIf(program === undefined)("The memory broker and the Redis broker", () => {
  it.live(
    "give equal traces for equal schedules of appends, repeats, looks and acknowledgements",
    () => withServer({}, ({ url }) => playAll(url, false, { first: 1, count: 4 })),
    120_000
  )

  it.live(
    "give equal traces also where events are dropped for their age",
    () => withServer({}, ({ url }) => playAll(url, true, { first: 1, count: 1 })),
    120_000
  )

  it.live(
    "give equal traces for many more schedules",
    () =>
      withServer(
        {},
        ({ url }) =>
          Effect.andThen(playAll(url, false, { first: 5, count: 12 }), playAll(url, true, { first: 2, count: 5 }))
      ),
    { tags: ["storm"], timeout: 240_000 }
  )
})
