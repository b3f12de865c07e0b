/** What a user's log takes in Redis: the figures that `src/broker/redis/README.md` states. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Broker } from "effect-emitter"
import type { UserId } from "../../../src/protocol/values/Identity.ts"
import { UserId as UserIds } from "../../../src/protocol/values/Identity.ts"
import type { RedisServer } from "../../support/redis.ts"
import { envelope, eventually, type Wanted } from "../events.ts"
import * as LogState from "./logState.ts"
import { program, startNode, withServer } from "./redisNode.ts"

const parts = ["log", "meta", "sources", "runs", "readers"] as const

/** Bytes of each of a user's keys, all of what they hold counted. */
const memoryOf = (server: RedisServer, user: UserId) =>
  Effect.map(
    Effect.forEach(parts, (part) =>
      Effect.map(
        server.send("MEMORY", "USAGE", `emitter:{${user}}:${part}`, "SAMPLES", "0"),
        (answer) => [part, answer.startsWith(":") ? Number.parseInt(answer.slice(1), 10) : 0] as const
      )),
    (all): Record<typeof parts[number] | "sum", number> => ({
      log: 0,
      meta: 0,
      sources: 0,
      runs: 0,
      readers: 0,
      ...Object.fromEntries(all),
      sum: all.reduce((sum, [, bytes]) => sum + bytes, 0)
    })
  )

const words = "It depends on what you ask for, since an answer is a stream of small pieces of text. "

/** One answer of an agent: a start, pieces of text, a tool, an end. Ids are as long as those of the package. */
const answer = (broker: Broker.Broker["Service"], user: UserId, pieces: number, batch = 4, number = 1) =>
  Effect.gen(function*() {
    const source = `em-0h3k8d-${number.toString(36)}`
    const run = `run-5f0c6a52-${number}`
    let sequence = 0
    let bytes = 0
    const say = (type: string, data: Wanted["data"]) => {
      const said = envelope({
        source,
        sequence: ++sequence,
        type,
        run,
        thread: "thread-1",
        at: Date.now(),
        ...(data === undefined ? {} : { data })
      })
      bytes += said.bytes
      return said
    }
    yield* broker.append(user, [say("agent_started", { agentName: "researcher" })])
    const text = () => say("text_delta", { messageId: "m1", delta: words.slice(sequence % 40, (sequence % 40) + 40) })
    for (let piece = 0; piece < pieces; piece += batch) {
      yield* broker.append(user, [text(), ...Array.from({ length: batch - 1 }, text)])
    }
    yield* broker.append(user, [say("agent_completed", { agentName: "researcher", durationMs: 5_000 })])
    return { events: sequence, bytes }
  })

describe.skipIf(program === undefined)("RedisBroker, the memory it takes", () => {
  it.live(
    "is about what its documentation says",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url, { deadline: "5 seconds", silence: "7 seconds" })
          const named = (name: string) => UserIds.make(`user-${name}-0123456789`)

          // Servers and their allocators differ; what is stated is to plan with.
          const near = (found: number, stated: number) => assert.closeTo(found / stated, 1, 0.5)

          const idle = named("idle")
          yield* broker.head(idle)
          near((yield* memoryOf(server, idle)).sum, 350)

          // Events one by one, and a few at a time, as a batch window of a fast model has them.
          for (
            const { batch, each, name } of [{ name: "single", batch: 1, each: 190 }, {
              name: "few",
              batch: 4,
              each: 170
            }]
          ) {
            const user = named(name)
            const { bytes, events } = yield* answer(broker, user, 200, batch)
            assert.strictEqual(events, 202)
            near(bytes / events, 180)
            const { log, meta, sources } = yield* memoryOf(server, user)
            near((log - bytes) / events, each)
            near(meta + sources, 650)
          }

          // As many as are kept by default, of 21 runs, whose state is folded and kept beside them.
          const full = named("full")
          for (let number = 1; number <= 22; number++) yield* answer(broker, full, 196, 4, number)
          const checkpoint = LogState.partOf(server, full, "checkpoint")
          yield* eventually(checkpoint, (offset) => Number(offset) > 3_500, "a late checkpoint")
          const ofFull = yield* memoryOf(server, full)
          near(ofFull.log, 1_400_000)
          near(ofFull.sum, 1_580_000)
        })),
    120_000
  )
})
