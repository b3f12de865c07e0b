/** What every store of a spool does, over each of them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as MemorySpoolStore from "../../../src/emitter/fallback/MemorySpoolStore.ts"
import {
  type ChunkLimits,
  SpoolFull,
  type SpoolLimits,
  type SpoolStore
} from "../../../src/emitter/fallback/SpoolStore.ts"
import * as SqliteSpoolStore from "../../../src/emitter/fallback/SqliteSpoolStore.ts"
import { RunId, ThreadId } from "../../../src/protocol/values/Identity.ts"
import { envelope, envelopes, sequences, userId } from "../support/envelopes.ts"
import { forSeeds } from "../../support/random.ts"

const ada = userId("ada")
const bob = userId("bob")
const plenty: ChunkLimits = { maxBatches: 100, maxEvents: 100, maxBytes: 1_000_000 }

const stores: Record<
  string,
  (limits?: SpoolLimits) => Effect.Effect<SpoolStore, SqliteSpoolStore.SpoolOpenError, Scope.Scope>
> = {
  memory: MemorySpoolStore.make,
  sqlite: (limits) =>
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-emitter-spool-"))),
      (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
    ).pipe(
      Effect.flatMap((directory) =>
        SqliteSpoolStore.make({ file: join(directory, "spool.db"), sync: "normal", ...limits })
      )
    )
}

const peekAll = (store: SpoolStore, user = ada) =>
  Effect.map(store.peek(user, plenty), (chunk) => sequences(chunk?.envelopes ?? []))

/** How many bytes a store counts for a batch. */
const bytesOf = (make: typeof stores[string], batch: Parameters<SpoolStore["put"]>[1]) =>
  Effect.scoped(Effect.gen(function*() {
    const store = yield* make()
    yield* store.put(bob, batch)
    return store.depth().bytes
  }))

for (const [name, make] of Object.entries(stores)) {
  describe(`SpoolStore, ${name}`, () => {
    it.effect("gives back whole envelopes, as they were put", () =>
      Effect.gen(function*() {
        const store = yield* make()
        const full = {
          ...envelope("a", 7, "grüße “ ” \u2028 😀"),
          run: RunId.make("run-1"),
          thread: ThreadId.make("thread-1"),
          delivery: "batched" as const,
          confirm: true,
          keep: "part" as const
        }
        yield* store.put(ada, [full])
        const chunk = yield* store.peek(ada, plenty)
        assert.deepStrictEqual(chunk?.envelopes, [full])
      }))

    it.effect("keeps nothing of what a program's own envelope carries besides", () =>
      Effect.gen(function*() {
        const store = yield* make()
        const more = { ...envelope("a", 1), settled: () => {} }
        yield* store.put(ada, [more])
        const chunk = yield* store.peek(ada, plenty)
        assert.deepStrictEqual(chunk?.envelopes, [envelope("a", 1)])
      }))

    it.effect("keeps each user's order, and users apart", () =>
      Effect.gen(function*() {
        const store = yield* make()
        yield* store.put(ada, envelopes("a", 1, 2))
        yield* store.put(bob, envelopes("b", 1))
        yield* store.put(ada, envelopes("a", 3))
        assert.deepStrictEqual(yield* peekAll(store), [1, 2, 3])
        assert.deepStrictEqual(yield* peekAll(store, bob), [1])
        assert.deepStrictEqual(yield* peekAll(store, userId("eve")), [])
        assert.deepStrictEqual(store.users(10), [ada, bob])
        assert.deepStrictEqual(store.users(1), [ada])
      }))

    it.effect("peeks as often as asked, and forgets only what is removed", () =>
      Effect.gen(function*() {
        const store = yield* make()
        yield* store.put(ada, envelopes("a", 1, 2))
        yield* store.put(ada, envelopes("a", 3, 4))
        const first = yield* store.peek(ada, { ...plenty, maxBatches: 1 })
        assert.deepStrictEqual(sequences(first?.envelopes ?? []), [1, 2])
        assert.deepStrictEqual(yield* peekAll(store), [1, 2, 3, 4])
        if (first !== undefined) yield* store.remove(ada, first)
        assert.deepStrictEqual(yield* peekAll(store), [3, 4])
        assert.isTrue(store.holds(ada))
        const rest = yield* store.peek(ada, plenty)
        if (rest !== undefined) yield* store.remove(ada, rest)
        assert.isFalse(store.holds(ada))
        assert.deepStrictEqual(store.depth(), { users: 0, batches: 0, events: 0, bytes: 0, unreadable: 0 })
      }))

    it.effect("shrinks a batch to its last events, which keep their place, and gives the room of the others back", () =>
      Effect.gen(function*() {
        const store = yield* make()
        yield* store.put(ada, envelopes("a", 1, 3))
        yield* store.put(ada, envelopes("a", 4))
        const first = yield* store.peek(ada, { ...plenty, maxBatches: 1 })
        assert.isDefined(first)
        yield* store.put(ada, envelopes("a", 5))
        yield* store.shrink(ada, first, envelopes("a", 3))
        assert.deepStrictEqual(yield* peekAll(store), [3, 4, 5])
        const bytes = (yield* bytesOf(make, envelopes("a", 3))) + (yield* bytesOf(make, envelopes("a", 4))) +
          (yield* bytesOf(make, envelopes("a", 5)))
        assert.deepInclude(store.depth(), { users: 1, batches: 3, events: 3, bytes })
        const left = yield* store.peek(ada, { ...plenty, maxBatches: 1 })
        assert.deepStrictEqual(sequences(left?.envelopes ?? []), [3])
        if (left !== undefined) yield* store.remove(ada, left)
        assert.deepStrictEqual(yield* peekAll(store), [4, 5])
        const rest = yield* store.peek(ada, plenty)
        if (rest !== undefined) yield* store.remove(ada, rest)
        assert.deepStrictEqual(store.depth(), { users: 0, batches: 0, events: 0, bytes: 0, unreadable: 0 })
      }))

    it.effect("keeps what was put between a peek and its removal", () =>
      Effect.gen(function*() {
        const store = yield* make()
        yield* store.put(ada, envelopes("a", 1))
        const chunk = yield* store.peek(ada, plenty)
        yield* store.put(ada, envelopes("a", 2))
        if (chunk !== undefined) yield* store.remove(ada, chunk)
        assert.deepStrictEqual(yield* peekAll(store), [2])
        assert.isTrue(store.holds(ada))
      }))

    it.effect("fills a chunk with whole batches up to its limits, and gives one at least", () =>
      Effect.gen(function*() {
        const store = yield* make()
        for (let i = 0; i < 4; i++) yield* store.put(ada, envelopes("a", 3 * i + 1, 3 * i + 3))
        const of = (limits: Partial<ChunkLimits>) =>
          Effect.map(store.peek(ada, { ...plenty, ...limits }), (chunk) => chunk?.envelopes.length)
        assert.strictEqual(yield* of({ maxEvents: 7 }), 6)
        assert.strictEqual(yield* of({ maxEvents: 1 }), 3)
        assert.strictEqual(yield* of({ maxBatches: 2 }), 6)
        assert.strictEqual(yield* of({ maxBytes: 1 }), 3)
      }))

    it.effect("refuses what its count has no room for, keeps nothing of it, and takes it once there is room", () =>
      Effect.gen(function*() {
        const store = yield* make({ maxEvents: 3, userShare: 1 })
        yield* store.put(ada, envelopes("a", 1, 2))
        const error = yield* Effect.flip(store.put(bob, envelopes("b", 1, 2)))
        assert.deepStrictEqual(error, new SpoolFull({ scope: "spool", unit: "events", limit: 3, held: 2, asked: 2 }))
        assert.isFalse(store.holds(bob))
        yield* store.put(bob, envelopes("b", 1))
        const chunk = yield* store.peek(ada, plenty)
        if (chunk !== undefined) yield* store.remove(ada, chunk)
        yield* store.put(bob, envelopes("b", 2, 3))
        assert.deepStrictEqual(yield* peekAll(store, bob), [1, 2, 3])
      }))

    it.effect("refuses what its bytes have no room for", () =>
      Effect.gen(function*() {
        const store = yield* make({ maxBytes: 2_000 })
        yield* store.put(ada, [envelope("a", 1)])
        const held = store.depth().bytes
        const error = yield* Effect.flip(store.put(ada, [envelope("a", 2, "x".repeat(2_000))]))
        assert.deepInclude(error, { _tag: "SpoolFull", unit: "bytes", limit: 2_000, held })
        assert.deepStrictEqual(yield* peekAll(store), [1])
      }))

    it.effect("fault 1: lets one user fill a quarter of the room that others leave, or another share", () =>
      Effect.gen(function*() {
        const store = yield* make({ maxEvents: 160 })
        for (let n = 1; n <= 40; n++) yield* store.put(ada, envelopes("a", n))
        assert.deepStrictEqual(
          yield* Effect.flip(store.put(ada, envelopes("a", 41))),
          new SpoolFull({ scope: "user", unit: "events", limit: 40, held: 40, asked: 1 })
        )
        yield* store.put(bob, envelopes("b", 1, 30))
        assert.deepStrictEqual(
          yield* Effect.flip(store.put(bob, envelopes("b", 31))),
          new SpoolFull({ scope: "user", unit: "events", limit: 30, held: 30, asked: 1 })
        )
        const chunk = yield* store.peek(ada, plenty)
        if (chunk !== undefined) yield* store.remove(ada, chunk)
        yield* store.put(bob, envelopes("b", 31, 40))
        assert.deepInclude(store.depth(), { users: 1, events: 40 })
        const other = yield* make({ maxEvents: 160, userShare: 0.75 })
        yield* other.put(ada, envelopes("a", 1, 120))
        assert.deepInclude(yield* Effect.flip(other.put(ada, envelopes("a", 121))), { scope: "user", limit: 120 })
      }))

    it.effect("fault 1: has room for one more user in either unit, however much the others put", () =>
      forSeeds({ from: 300, count: 20 }, (draw) =>
        Effect.scoped(
          Effect.gen(function*() {
            const unit = draw.pick(["events", "bytes"] as const)
            const one = yield* bytesOf(make, envelopes("s", 1))
            const limit = unit === "events" ? 400 : 400 * one
            const store = yield* make(unit === "events" ? { maxEvents: limit } : { maxBytes: limit })
            const flooding = Array.from({ length: 1 + draw.below(4) }, (_, n) => userId(`flood${n}`))
            for (let step = 0; step < 400; step++) {
              const user = draw.pick(flooding)
              yield* Effect.exit(store.put(user, envelopes("s", 1, 1 + draw.below(6))))
              if (!draw.chance(0.05)) continue
              const chunk = yield* store.peek(user, plenty)
              if (chunk !== undefined) yield* store.remove(user, chunk)
            }
            // Each took a quarter at most of what the others had left, and so may the next.
            const share = Math.floor(400 * 0.75 ** flooding.length / 4)
            for (let n = 0; n < share; n++) yield* store.put(bob, envelopes("s", 1))
            assert.isAtMost(store.depth()[unit], limit)
          }).pipe(Effect.orDie)
        )))

    it.effect("takes many at once, each user's in order", () =>
      Effect.gen(function*() {
        const store = yield* make()
        const users = Array.from({ length: 600 }, (_, i) => userId(`u${i}`))
        yield* Effect.forEach(
          users,
          (user) => Effect.andThen(store.put(user, envelopes("s", 1)), store.put(user, envelopes("s", 2))),
          { concurrency: "unbounded", discard: true }
        )
        assert.deepInclude(store.depth(), { users: 600, batches: 1_200, events: 1_200 })
        for (const user of users) assert.deepStrictEqual(yield* peekAll(store, user), [1, 2])
      }))

    it.effect("agrees with a list per user, whatever is put, peeked and removed", () =>
      forSeeds({ count: 25 }, (draw) =>
        Effect.scoped(
          Effect.gen(function*() {
            const store = yield* make({ maxEvents: 60, userShare: 1 })
            const model = new Map([ada, bob].map((user) => [user, [] as Array<ReadonlyArray<number>>]))
            let sequence = 0
            for (let step = 0; step < 80; step++) {
              const user = draw.pick([ada, bob])
              const batches = model.get(user) ?? []
              if (draw.chance(0.6)) {
                const events = envelopes("s", sequence + 1, sequence += 1 + draw.below(5))
                const held = [...model.values()].flat(2).length
                const exit = yield* Effect.exit(store.put(user, events))
                assert.strictEqual(exit._tag, held + events.length <= 60 ? "Success" : "Failure")
                if (exit._tag === "Success") batches.push(sequences(events))
              } else {
                const chunk = yield* store.peek(user, { ...plenty, maxBatches: 1 + draw.below(3) })
                const expected = batches.slice(0, chunk?.batches ?? 0).flat()
                assert.deepStrictEqual(sequences(chunk?.envelopes ?? []), expected)
                assert.strictEqual(chunk === undefined, batches.length === 0)
                if (chunk !== undefined && draw.chance(0.8)) {
                  yield* store.remove(user, chunk)
                  batches.splice(0, chunk.batches)
                }
              }
              assert.strictEqual(store.holds(user), batches.length > 0)
              assert.deepInclude(store.depth(), {
                batches: [...model.values()].flat().length,
                events: [...model.values()].flat(2).length
              })
            }
          }).pipe(Effect.orDie)
        )))
  })
}
