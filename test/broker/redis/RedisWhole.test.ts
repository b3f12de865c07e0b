/** An append happens whole or not at all, and a log whose keys disagree begins anew, which readers are told. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { Broker, type Position } from "effect-emitter"
import type { Envelope } from "effect-emitter/protocol"
import { append } from "../../../src/broker/redis/scripts/AppendLua.ts"
import { checkpoint } from "../../../src/broker/redis/scripts/CheckpointLua.ts"
import { view } from "../../../src/broker/redis/scripts/ViewLua.ts"
import type { UserId } from "../../../src/protocol/values/Identity.ts"
import type { RedisServer } from "../../support/redis.ts"
import { envelope, eventually, idOf, idsAfter, newUser, numbered, plenty, start, type Wanted } from "../events.ts"
import * as LogState from "./logState.ts"
import { program, startNode, watch, withServer } from "./redisNode.ts"

type Batch = Parameters<Broker.Broker["Service"]["append"]>[1]

const key = (user: UserId, part: string) => `emitter:{${user}}:${part}`

/** Every command that the scripts over a log use. */
const commands = [
  ...new Set(
    [append, view, checkpoint].flatMap(({ lua }) =>
      Array.from(lua.matchAll(/call\('([A-Z]+)'/g), ([, command = ""]) => command.toLowerCase())
    )
  )
]

const ofRun = (sequence: number, type: string, more: Partial<Wanted> = {}): Envelope.Envelope =>
  envelope({ source: `s${sequence % 3}`, sequence, run: "r", type, thread: "t", data: { agentName: "a" }, ...more })

const idsOf = (events: ReadonlyArray<Envelope.Envelope>) => events.map(({ id }) => String(id))

/** Appends of one user which need every command of the scripts: a new log, runs that start and end, a log that is full. */
const batchesOf = (): ReadonlyArray<Batch> => [
  [ofRun(1, "agent_started"), ofRun(2, "agent_thinking")],
  [ofRun(3, "agent_thinking")],
  [ofRun(4, "agent_completed"), envelope({ source: "u", sequence: 1 })],
  numbered(1, 12),
  numbered(13, 14)
]

describe.skipIf(program === undefined)("RedisBroker, whole or not at all", () => {
  it.live(
    "fault 4: an append for which a right is missing writes nothing, says so, and goes on once it is granted",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          assert.includeMembers(commands, [
            "xadd",
            "hset",
            "hmget",
            "hlen",
            "hdel",
            "xtrim",
            "pexpire",
            "publish",
            "time"
          ])
          yield* server.send("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all")
          const url = server.url.replace("redis://", "redis://app:secret@")
          const limits = { maxEvents: 10, deadline: "3 seconds", silence: "4 seconds" } as const
          const [restricted, admin] = [yield* startNode(url, limits), yield* startNode(server.url, limits)]
          for (const command of commands) {
            const user = newUser(command)
            let done: Array<string> = []
            let failures = 0
            for (const batch of batchesOf()) {
              const before: Position.Position | undefined = done.length === 0 ? undefined : yield* admin.head(user)
              yield* server.send("ACL", "SETUSER", "app", `-${command}`)
              const exit = yield* Effect.exit(restricted.append(user, batch))
              yield* server.send("ACL", "SETUSER", "app", `+${command}`)
              const failed = Exit.isFailure(exit)
              if (failed) {
                failures++
                const error = yield* Effect.flip(exit)
                assert.instanceOf(error.reason, Broker.BrokerRefused)
                assert.strictEqual(error.blame, "broker", command)
              }
              // Half-written is what changes the head or the epoch without all of the batch, or what the next look finds torn.
              const head = yield* admin.head(user)
              const wanted = failed ? done : [...done, ...idsOf(batch)]
              if (before !== undefined) assert.strictEqual(head.epoch, before.epoch, `${command}: another epoch`)
              assert.strictEqual(head.offset, wanted.length, `${command}: half-written`)
              const { offset } = yield* restricted.append(user, batch)
              assert.strictEqual(offset, done.length + batch.length, `${command}: does not go on`)
              done = [...done, ...idsOf(batch)]
              const from = { epoch: head.epoch, offset: Math.max(0, done.length - 10) }
              assert.deepStrictEqual(
                yield* idsAfter(admin, user, from),
                done.slice(-10).map((id, n) => [from.offset + n + 1, id]),
                command
              )
            }
            if (["xadd", "hset", "hmget", "xlen", "time"].includes(command)) assert.isAbove(failures, 0, command)
          }
        }), 110),
    120_000
  )

  it.live(
    "fault 4: an answer that is no position is an error",
    () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const broker = yield* startNode(server.url)
          const user = newUser()
          yield* broker.append(user, numbered(1))
          yield* LogState.change(server, user, { epoch: "no-epoch-since-it-is-far-too-long-for-one" })
          const error = yield* Effect.flip(broker.append(user, numbered(1)))
          assert.instanceOf(error.reason, Broker.BrokerRefused)
          assert.strictEqual(error.blame, "user")
        })),
    120_000
  )
})

type Tear = (server: RedisServer, key: string) => Effect.Effect<unknown>

const truncations: Record<string, Tear> = {
  log: (server, name) => server.send("XTRIM", name, "MAXLEN", "1"),
  meta: (server, name) => server.send("HSET", name, " ", "1 2 3"),
  sources: (server, name) => server.send("HDEL", name, "s1."),
  runs: (server, name) => server.send("HDEL", name, "r")
}

const tears: Record<string, (part: string) => Tear> = {
  deleted: () => (server, name) => server.send("DEL", name),
  truncated: (part) => truncations[part] ?? (() => Effect.die(new Error(part))),
  "of the wrong type": () => (server, name) => Effect.andThen(server.send("DEL", name), server.send("SET", name, "x")),
  "of an older version": () => (server, name) => server.send("COPY", `${name}:older`, name, "REPLACE")
}

describe.skipIf(program === undefined)("RedisBroker, a log whose keys disagree", () => {
  for (const part of Object.keys(truncations)) {
    it.live(
      `fault 4: heals when "${part}" is ${Object.keys(tears).join(", or ")}, and tells readers`,
      () =>
        withServer({}, (server) =>
          Effect.gen(function*() {
            const broker = yield* startNode(server.url, { maxEvents: 8, deadline: "3 seconds", silence: "4 seconds" })
            for (const [how, tear] of Object.entries(tears)) {
              const user = newUser(`${part}-${how.replaceAll(" ", "-")}`)
              const name = key(user, part)
              const foldedAt = (offset: number) =>
                eventually(
                  LogState.partOf(server, user, "folded"),
                  (folded) => Number(folded) >= offset,
                  `${how}: a checkpoint`
                )
              const from = yield* start(broker, user)
              yield* broker.append(user, [ofRun(1, "agent_started"), ofRun(2, "agent_thinking")])
              for (let n = 3; n <= 12; n++) yield* broker.append(user, [ofRun(n, "agent_thinking")])
              yield* foldedAt(2)
              yield* server.send("COPY", name, `${name}:older`)
              for (let n = 13; n <= 30; n++) yield* broker.append(user, [ofRun(n, "agent_thinking")])
              yield* broker.append(user, [ofRun(1, "agent_started", { run: "other", source: "v" })])
              yield* foldedAt(18)
              const seen = yield* broker.head(user)
              const reader = yield* watch(broker, user, { ...from, offset: 25 })
              yield* eventually(reader.items, (items) => items.includes("v.1"), `${how}: what came before`)

              yield* tear(part)(server, name)
              // A look at the runs finds what an append need not read.
              yield* broker.snapshots(user)
              const next = [ofRun(31, "agent_thinking"), ofRun(32, "agent_thinking")] as const
              yield* broker.append(user, next)
              yield* broker.append(user, next)
              yield* eventually(reader.items, (items) => items.includes("s2.32"), `${how}: what came after`)
              const items = yield* reader.items
              // A new epoch gives all that is kept once more, so what counts is what came in the last.
              const last = items.slice(items.findLastIndex((item) => item.startsWith("epoch ")) + 1)
              assert.strictEqual(last.filter((item) => item === "s2.32").length, 1, how)
              // Who had everything misses nothing where the log goes on in its epoch; a new one is told.
              const isNew = (yield* broker.head(user)).epoch !== seen.epoch
              assert.strictEqual(items.some((item) => item.startsWith("epoch ")), isNew, `${how}: ${items.join(" ")}`)
              assert.strictEqual(isNew, part !== "log" || how !== "deleted", how)
              // Whoever comes back with a position of before is told as well, and then sees what there is.
              const slice = yield* broker.pull(user, { ...seen, offset: seen.offset - 2 }, plenty)
              assert.isDefined(slice.gap, how)
              assert.deepStrictEqual(slice.entries.map(idOf).slice(-2), ["s1.31", "s2.32"], how)
              assert.strictEqual(slice.entries.length, new Set(slice.entries.map(idOf)).size, how)
              assert.strictEqual(slice.next.offset, slice.head, how)
              yield* reader.stop
            }
          }), 50),
      120_000
    )
  }
})
