/** What becomes of runs whose processes die, freeze and come back, over one Redis. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import type { Broker } from "effect-emitter"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { UserId } from "../../../src/protocol/values/Identity.ts"
import { ownTimed } from "../../support/ownTime.ts"
import type { RedisServer } from "../../support/redis.ts"
import { eventually, newUser, plenty, start } from "../events.ts"
import { type NodeOptions, persist, program, startNode, withServer } from "../redis/redisNode.ts"
import { runProcess } from "./runProcess.ts"

const leaseMs = 2000
const options: NodeOptions = {
  lease: "2 seconds",
  deadline: "500 millis",
  silence: "1 second",
  trustRestarts: true
}

/** The starts and endings of a user's runs, and what stands behind a run's ending. */
const runsOf = (broker: Broker.Broker["Service"], user: UserId) =>
  Effect.gen(function*() {
    const { entries } = yield* persist(
      Effect.flatMap(start(broker, user), (from) => broker.pull(user, from, plenty))
    )
    const ended = new Set<string>()
    const story: Array<string> = []
    for (const { body, run, type } of entries) {
      if (run === undefined) continue
      if (ended.has(run)) story.push(`late ${type} of ${run}`)
      if (type === "agent_started") story.push(`${run} started`)
      if (type === "agent_completed") story.push(`${run} completed`)
      if (type === "agent_error") story.push(`${run} ${JSON.parse(`{${body}`).data.reason}`)
      if (type === "agent_completed" || type === "agent_error") ended.add(run)
    }
    return story
  })

const until = (broker: Broker.Broker["Service"], user: UserId, last: string) =>
  eventually(runsOf(broker, user), (story) => story.at(-1) === last, last, 15)

const isRunning = (receipts: ReadonlyArray<unknown>) => receipts.filter((tag) => tag === "Appended").length >= 3

/** A process that has begun a run of a user, and a node that looks on, over one Redis. */
interface Running {
  readonly server: RedisServer
  readonly node: Broker.Broker["Service"]
  readonly user: UserId
  readonly child: Effect.Success<ReturnType<typeof runProcess>>
}

const withRun = <E>(
  redis: Parameters<typeof withServer>[0],
  body: (running: Running) => Effect.Effect<void, E, Scope.Scope>
) =>
  withServer(redis, (server) =>
    Effect.gen(function*() {
      const node = yield* startNode(server.url, options)
      const user = newUser()
      const child = yield* runProcess({ url: server.url, user, run: "r" })
      yield* child.until("receipt", isRunning)
      yield* body({ server, node, user, child })
    }), 55)

describe.skipIf(program === undefined)("A run whose process", () => {
  it.live(
    "is killed ends as lost, once, within its lease, whoever else is there",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const nodes = yield* Effect.all([1, 2, 3].map(() => startNode(server.url, options)))
          const [node = yield* startNode(server.url, options)] = nodes
          yield* Effect.sleep(2 * leaseMs)
          const user = newUser()
          const child = yield* runProcess({ url: server.url, user, run: "r" })
          yield* child.until("receipt", isRunning)
          yield* Effect.sleep(leaseMs)
          yield* child.kill
          const [ownMs] = yield* ownTimed(until(node, user, "r lost"))
          assert.isBelow(ownMs, leaseMs + 1500)
          yield* Effect.sleep(2 * leaseMs)
          assert.deepStrictEqual(yield* runsOf(node, user), ["r started", "r lost"])
        }), 55),
    120_000
  )

  it.live(
    "closes in good order ends as cancelled, and is never lost",
    () =>
      withRun({}, ({ child, node, user }) =>
        Effect.gen(function*() {
          yield* child.stop
          yield* Effect.sleep(3 * leaseMs)
          assert.deepStrictEqual(yield* runsOf(node, user), ["r started", "r cancelled"])
        })),
    120_000
  )

  it.live(
    "was frozen past its lease has ended, and takes nothing of what the process emits when it wakes",
    () =>
      withRun({}, ({ child, node, user }) =>
        Effect.gen(function*() {
          // Between two events: what it has to do first when it wakes is to emit the next, or to renew its lease.
          const { length: sent } = child.said("receipt")
          yield* child.until("receipt", ({ length }) => length > sent)
          yield* child.freeze
          yield* until(node, user, "r lost")
          yield* child.thaw
          // What it emitted before it knew is a dead letter; then its program is interrupted, and can begin nothing more in it.
          yield* child.until("exit", ({ length }) => length > 0)
          assert.deepStrictEqual(child.said("exit"), ["interrupted"])
          assert.deepStrictEqual(child.said("refused"), ["IllegalEvent"])
          assert.deepStrictEqual(child.said("tool"), ["interrupted"])
          // It goes on as a process like any other: under another lease, that another node watches.
          yield* child.tell("again")
          const [letters] = yield* child.until("letters", ({ length }) => length > 0)
          const reasons = Object.entries(letters ?? {}).filter(([, count]) => count !== 0)
          assert.deepInclude([[], [["runLost", 1]]], reasons)
          assert.deepStrictEqual(child.said("breaker"), ["closed"])
          yield* until(node, user, "r-again started")
          yield* Effect.sleep(2 * leaseMs)
          assert.deepStrictEqual(yield* runsOf(node, user), ["r started", "r lost", "r-again started"])
          yield* child.kill
          yield* until(node, user, "r-again lost")
          assert.deepStrictEqual(yield* runsOf(node, user), ["r started", "r lost", "r-again started", "r-again lost"])
        })),
    120_000
  )

  it.live(
    "lives goes on though Redis was away for longer than its lease",
    () =>
      withRun({ durable: true }, ({ child, node, server, user }) =>
        Effect.gen(function*() {
          yield* Effect.sleep(2 * leaseMs)
          yield* server.kill
          yield* Effect.sleep(2 * leaseMs)
          yield* server.start
          yield* Effect.sleep(3 * leaseMs)
          assert.deepStrictEqual(yield* runsOf(node, user), ["r started"])
          yield* child.tell("end")
          yield* until(node, user, "r completed")
          assert.deepStrictEqual(yield* runsOf(node, user), ["r started", "r completed"])
        })),
    120_000
  )

  it.live(
    "lives is watched again after Redis lost all it had",
    () =>
      withRun({}, ({ child, node, server, user }) =>
        Effect.gen(function*() {
          yield* server.kill
          yield* server.start
          const before = child.said("receipt").length
          yield* child.until("receipt", ({ length }) => length > before + 5)
          yield* eventually(
            Effect.map(persist(node.snapshots(user)), ({ snapshots }) => snapshots.length),
            (runs) => runs === 1,
            "the run in the new log"
          )
          yield* Effect.sleep(2 * leaseMs)
          yield* child.kill
          yield* until(node, user, "r lost")
        })),
    120_000
  )

  it.live(
    "was killed while Redis was away ends as lost when the next process has drained what it left",
    () =>
      withServer({ durable: true }, (server) =>
        Effect.gen(function*() {
          const directory = mkdtempSync(join(tmpdir(), "effect-emitter-lost-"))
          yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(directory, { recursive: true, force: true })))
          const file = join(directory, "spool.db")
          const user = newUser()
          const node = yield* startNode(server.url, options)
          yield* server.kill
          const child = yield* runProcess({ url: server.url, user, run: "r", file })
          yield* child.until("receipt", ({ length }) => length >= 3)
          assert.strictEqual(child.said("receipt").at(-1), "HandedOver")
          yield* child.kill
          yield* server.start
          const next = yield* runProcess({ url: server.url, user, run: "next", file })
          yield* next.until("receipt", isRunning)
          yield* eventually(
            runsOf(node, user),
            (story) => story.includes("r lost") && story.includes("next started"),
            "r lost"
          )
          yield* Effect.sleep(2 * leaseMs)
          assert.sameMembers(yield* runsOf(node, user), ["r started", "r lost", "next started"])
        }), 55),
    120_000
  )
})
