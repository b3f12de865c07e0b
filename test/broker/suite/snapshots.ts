/** The state of runs, for those who did not see all of their events. */
import { assert } from "@effect/vitest"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { Effect } from "effect"
import type { Broker } from "effect-emitter"
import type { Envelope } from "effect-emitter/protocol"
import { forSeeds } from "../../support/random.ts"
import { RunId, ThreadId } from "../../../src/protocol/values/Identity.ts"
import type { BrokerTest } from "../brokerSuite.ts"
import { envelope, newUser, numbered, plenty, start } from "../events.ts"
import { RunFold } from "../../../src/protocol/run/RunFold.ts"
import { textOf } from "../../support/runs.ts"

const started = (sequence: number, run: string) =>
  envelope({ sequence, run, type: "agent_started", data: { agentName: `agent of ${run}` }, at: sequence })

const said = (sequence: number, run: string, delta: string) =>
  envelope({ sequence, run, type: "text_delta", delivery: "batched", data: { messageId: "m", delta }, at: sequence })

const completed = (sequence: number, run: string) =>
  envelope({
    sequence,
    run,
    type: "agent_completed",
    data: { agentName: `agent of ${run}`, durationMs: 5 },
    at: sequence
  })

const stateAfter = (events: ReadonlyArray<Envelope.Envelope>) => {
  const fold = new RunFold()
  for (const { at, data, type } of events) fold.apply(type, data, at)
  return fold.snapshot()
}

const runsOf = (snapshots: ReadonlyArray<Broker.RunSnapshotAt>) => snapshots.map(({ run }) => run).toSorted()

const byRun = (snapshots: ReadonlyArray<Broker.RunSnapshotAt>) => snapshots.toSorted((a, b) => a.run < b.run ? -1 : 1)

export const snapshots = (test: BrokerTest) => {
  test("gives the head, and nothing else for a user without runs", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const none = yield* broker.snapshots(user)
      assert.deepStrictEqual(none, { position: yield* broker.head(user), snapshots: [] })
      yield* broker.append(user, numbered(1, 2))
      const { position, snapshots } = yield* broker.snapshots(user)
      assert.deepStrictEqual([position.offset, snapshots], [2, []])
    }))

  test("gives active runs with all that happened in them, and the offset of their last event", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const batch: NonEmptyReadonlyArray<Envelope.Envelope> = [
        started(1, "a"),
        started(2, "b"),
        said(3, "a", "Hel"),
        said(4, "a", "lo"),
        envelope({ sequence: 5 })
      ]
      yield* broker.append(user, batch)
      const { position, snapshots } = yield* broker.snapshots(user)
      assert.strictEqual(position.offset, 5)
      assert.deepStrictEqual<unknown>(byRun(snapshots), [
        { run: "a", offset: 4, state: stateAfter(batch.filter(({ run }) => run === "a")) },
        { run: "b", offset: 2, state: stateAfter(batch.filter(({ run }) => run === "b")) }
      ])
    }))

  test("gives an ended run no longer, except to those who missed its end", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const run = [started(1, "a"), said(2, "a", "Hello"), completed(3, "a")] as const
      const { epoch } = yield* broker.append(user, run)
      yield* broker.append(user, [started(4, "b")])
      yield* broker.append(user, numbered(5, 8))
      assert.deepStrictEqual(runsOf((yield* broker.snapshots(user)).snapshots), ["b"])
      assert.deepStrictEqual(runsOf((yield* broker.snapshots(user, 3)).snapshots), ["a", "b"])
      assert.deepStrictEqual(runsOf((yield* broker.snapshots(user, 4)).snapshots), ["b"])

      const missed = yield* broker.pull(user, { epoch, offset: 1 }, plenty)
      assert.deepStrictEqual<unknown>(byRun(missed.snapshots), [
        { run: "a", offset: 3, state: stateAfter(run) },
        { run: "b", offset: 4, state: stateAfter([started(4, "b")]) }
      ])
      const seen = yield* broker.pull(user, { epoch, offset: 3 }, plenty)
      assert.deepStrictEqual(runsOf(seen.snapshots), ["b"])
      const all = yield* broker.pull(user, { epoch: "another", offset: 1 }, plenty)
      assert.deepStrictEqual(runsOf(all.snapshots), ["a", "b"])
    }), { maxEvents: 4 })

  test(
    "gives the newest others that are asked for, of the threads asked for and of none",
    (broker) =>
      Effect.gen(function*() {
        const user = newUser()
        const run = (sequence: number, id: string, type: string, thread?: string) =>
          envelope({
            sequence,
            run: id,
            type,
            data: { agentName: "a", durationMs: 1 },
            ...(thread === undefined ? {} : { thread })
          })
        yield* broker.append(user, [
          run(1, "a", "agent_started", "t1"),
          run(2, "b", "agent_started", "t2"),
          run(3, "c", "agent_started"),
          run(4, "d", "agent_started", "t1"),
          run(5, "e", "agent_started", "t2"),
          // The newest by its ending is the one that began first.
          run(6, "c", "agent_completed"),
          run(7, "b", "agent_completed", "t2"),
          run(8, "a", "agent_completed", "t1")
        ])
        for (let n = 9; n <= 20; n++) yield* broker.append(user, numbered(n))
        const asked = (count: number, ...threads: ReadonlyArray<string>) =>
          Effect.map(
            broker.snapshots(user, undefined, {
              count,
              ...(threads.length === 0 ? {} : { threads: threads.map((thread) => ThreadId.make(thread)) })
            }),
            ({ snapshots }) => runsOf(snapshots).join("")
          )
        assert.deepStrictEqual(
          yield* Effect.all([asked(0), asked(1), asked(2), asked(9)]),
          ["de", "ade", "abde", "abcde"]
        )
        assert.deepStrictEqual(
          yield* Effect.all([asked(0, "t1"), asked(1, "t1"), asked(9, "t1"), asked(1, "t2"), asked(9, "t1", "t2")]),
          ["d", "ad", "acd", "be", "abcde"]
        )
        const { snapshots } = yield* broker.snapshots(user, undefined, { count: 9, threads: [] })
        assert.deepStrictEqual(runsOf(snapshots), ["c"])
      }),
    { maxEvents: 4 }
  )

  test("fault 16: gives one run by itself: active, ended, or not known any more", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const ids = [RunId.make("a"), RunId.make("b"), RunId.make("c"), RunId.make("d")] as const
      const none = yield* broker.snapshot(user, ids[0])
      assert.deepStrictEqual(none, { position: yield* broker.head(user), snapshot: undefined })
      const ofA = [started(1, "a"), said(2, "a", "Hel"), said(5, "a", "lo")] as const
      const ofB = [started(3, "b"), completed(4, "b")] as const
      const first = yield* broker.append(user, [ofA[0], ofA[1], ...ofB, ofA[2]])
      assert.deepStrictEqual<unknown>(
        yield* Effect.forEach(ids, (run) => broker.snapshot(user, run)),
        [
          { position: first, snapshot: { run: "a", offset: 5, state: stateAfter(ofA) } },
          { position: first, snapshot: { run: "b", offset: 4, state: stateAfter(ofB) } },
          { position: first, snapshot: undefined },
          { position: first, snapshot: undefined }
        ]
      )
      const position = yield* broker.append(user, [started(6, "c"), started(7, "d")])
      assert.deepStrictEqual<unknown>(
        yield* Effect.forEach([ids[0], ids[2], ids[3]], (run) => broker.snapshot(user, run)),
        [
          { position, snapshot: { run: "a", offset: 5, state: stateAfter(ofA) } },
          { position, snapshot: { run: "c", offset: 6, state: stateAfter([started(6, "c")]) } },
          { position, snapshot: { run: "d", offset: 7, state: stateAfter([started(7, "d")]) } }
        ]
      )
    }), { maxRuns: 3 })

  test("keeps a program's own events as they say themselves, and no others", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const own = (sequence: number, type: string, n: number, keep?: Envelope.Envelope["keep"]) =>
        envelope({ sequence, run: "a", type, at: sequence, data: { n }, keep })
      yield* broker.append(user, [
        started(1, "a"),
        own(2, "stock_level", 1, "newest"),
        own(3, "order_placed", 1, "part"),
        own(4, "note_taken", 1),
        own(5, "stock_level", 2, "newest"),
        own(6, "order_placed", 2, "part")
      ])
      const { snapshot } = yield* broker.snapshot(user, RunId.make("a"))
      assert.deepStrictEqual(snapshot?.state.parts, [
        { type: "event", name: "stock_level", at: 5, data: { n: 2 } },
        { type: "event", name: "order_placed", at: 3, data: { n: 1 } },
        { type: "event", name: "order_placed", at: 6, data: { n: 2 } }
      ])
    }))

  test("has a run's whole state also when its first events were dropped", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const events = [started(1, "a"), ...Array.from({ length: 30 }, (_, n) => said(n + 2, "a", `<${n}>`))]
      for (const event of events) yield* broker.append(user, [event])
      const { snapshots } = yield* broker.snapshots(user)
      assert.deepStrictEqual<unknown>(snapshots, [{ run: "a", offset: 31, state: stateAfter(events) }])
    }), { maxEvents: 4 })

  test("fault 8: gives a text whole that was cut inside a character, and looked at there", (broker) =>
    forSeeds({ count: 5 }, (draw) =>
      Effect.gen(function*() {
        const user = newUser()
        const from = yield* start(broker, user)
        const text = Array.from({ length: 12 }, () => draw.pick(["a", "é", "用", "👩", "\ud801", "\udc01", "\n"])).join(
          ""
        )
        yield* broker.append(user, [started(1, "a")])
        for (const [n, unit] of text.split("").entries()) {
          yield* broker.append(user, [said(n + 2, "a", unit)])
          if (draw.chance(0.3)) yield* broker.snapshots(user)
        }
        const { snapshots } = yield* broker.snapshots(user)
        assert.strictEqual(textOf(snapshots[0]?.state.parts[0]), text)
        const { entries } = yield* broker.pull(user, from, plenty)
        const deltas = entries.slice(1).map(({ body }) => JSON.parse(`{${body}`).data.delta)
        assert.strictEqual(deltas.join(""), text)
        for (const { body, bytes } of entries) assert.strictEqual(Buffer.from(body).toString(), body, String(bytes))
      })))

  test("fault 39b: tells the thread that each run began in", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [
        envelope({ sequence: 1, run: "a", thread: "t1", type: "agent_started", data: { agentName: "a" } }),
        envelope({ sequence: 2, run: "b", type: "agent_started", data: { agentName: "b" } }),
        envelope({ sequence: 3, run: "a", thread: "t2", type: "agent_thinking", data: { text: "hm" } })
      ])
      for (let n = 4; n <= 20; n++) yield* broker.append(user, numbered(n))
      const { snapshots } = yield* broker.snapshots(user)
      assert.deepStrictEqual(byRun(snapshots).map(({ state }) => state.thread), ["t1", undefined])
    }), { maxEvents: 4 })

  test("folds a repeated append once", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      const batch = [started(1, "a"), said(2, "a", "once")] as const
      yield* broker.append(user, batch)
      yield* broker.append(user, batch)
      const { snapshots } = yield* broker.snapshots(user)
      assert.deepStrictEqual<unknown>(snapshots, [{ run: "a", offset: 2, state: stateAfter(batch) }])
    }))

  test("forgets runs past the bound: those that ended first, then the oldest", (broker) =>
    Effect.gen(function*() {
      const user = newUser()
      yield* broker.append(user, [started(1, "a"), started(2, "b"), completed(3, "b"), started(4, "c")])
      yield* broker.append(user, [started(5, "d")])
      assert.deepStrictEqual(runsOf((yield* broker.snapshots(user)).snapshots), ["a", "c", "d"])
      yield* broker.append(user, [started(6, "e")])
      assert.deepStrictEqual(runsOf((yield* broker.snapshots(user)).snapshots), ["c", "d", "e"])
    }), { maxRuns: 3 })

  test(
    "are the fold of all of a run's events, however they were appended, dropped and looked at",
    (broker) =>
      forSeeds({ count: 10 }, (draw) =>
        Effect.gen(function*() {
          const user = newUser()
          const events: Array<Envelope.Envelope> = []
          for (let step = 0; step < 15; step++) {
            const one = () => {
              const run = draw.pick(["a", "b", "c"])
              const event = events.some((earlier) => earlier.run === run)
                ? said(events.length + 1, run, `<${events.length}>`)
                : started(events.length + 1, run)
              events.push(event)
              return event
            }
            const batch: [Envelope.Envelope, ...Array<Envelope.Envelope>] = [one()]
            while (draw.chance(0.6)) batch.push(one())
            yield* broker.append(user, batch)
            if (draw.chance(0.5)) continue
            const { position, snapshots } = yield* broker.snapshots(user)
            assert.strictEqual(position.offset, events.length)
            const expected = [...new Set(events.map(({ run }) => run))].map((run) => ({
              run,
              offset: events.findLastIndex((event) => event.run === run) + 1,
              state: stateAfter(events.filter((event) => event.run === run))
            }))
            assert.deepStrictEqual<unknown>(
              byRun(snapshots),
              expected.toSorted((a, b) => (a.run ?? "") < (b.run ?? "") ? -1 : 1)
            )
          }
        })),
    { maxEvents: 6 }
  )
}
