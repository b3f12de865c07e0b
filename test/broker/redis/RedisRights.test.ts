/** A script for which a right is missing does nothing, says so, and does all of it once the right is granted. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { Broker } from "effect-emitter"
import { createClient } from "redis"
import { toBrokerError } from "../../../src/broker/redis/connection/RedisFailure.ts"
import * as LeaseLua from "../../../src/broker/redis/leases/LeaseLua.ts"
import * as CommandLua from "../../../src/broker/redis/scripts/CommandLua.ts"
import { keep } from "../../../src/broker/redis/scripts/KeepLua.ts"
import { mend } from "../../../src/broker/redis/scripts/MendLua.ts"
import * as PresenceLua from "../../../src/broker/redis/scripts/PresenceLua.ts"
import type * as RedisScript from "../../../src/broker/redis/scripts/Script.ts"
import { carryOver } from "../../../src/broker/redis/scripts/StandingLua.ts"
import { RunId } from "../../../src/protocol/values/Identity.ts"
import { newUser, numbered } from "../events.ts"
import { command, endOf, receiving, send, startOf, wordOf } from "../suite/commanding.ts"
import { program, startNode, withServer } from "./redisNode.ts"

type Command = ReadonlyArray<string>

const connectTo = (url: string) =>
  Effect.acquireRelease(
    Effect.promise(() => createClient({ url, RESP: 2, disableOfflineQueue: true }).on("error", () => {}).connect()),
    (client) => Effect.sync(() => client.destroy())
  )

/** A call of a script: what there is before, and what it is called with. */
interface Call {
  readonly script: RedisScript.Script
  readonly before: ReadonlyArray<Command | Pick<Call, "script" | "keys" | "args">>
  readonly keys: Command
  readonly args: Command
  /** Of several steps, each of which leaves keys that are found to disagree, and may be done again. */
  readonly inSteps?: true
}

const kept = (...command: Command): ReadonlyArray<Command> => [command, ["PEXPIRE", command[1] ?? "", "60000"]]
// Of one event of 9 bytes, in a run that is active.
const state = "1 9 1 0 0 0 0 0 1 1 0 0 0 1 0 s 60000 9 999 99999 e  "
const log = ["log", "meta", "sources", "runs"].map((part) => `{u}:${part}`)
const logBefore = [
  ...kept("HSET", "{u}:meta", " ", state, " ack", "0", "r", "p.0\nt\n1\n"),
  ...kept("XADD", "{u}:log", "1-0", "m", "1 1 9", "n", "9", "e", "x")
]
const held = (run: string, epoch: string): Pick<Call, "script" | "keys" | "args"> => ({
  script: keep,
  keys: log,
  args: ["e2", "s 60000 9 999 99999", "channel", "p.0", "1", run, "t", "5", epoch, "{}"]
})
const presence = ["{u}:readers", "{u}:revoked", "{u}:late", ...log]
const leases = ["{l}:alive", "{l}:claimed", "{l}:gone", "{l}:users"]
const leasesBefore = [
  ...kept("ZADD", "{l}:alive", "1", "a.0", "2", "b.0"),
  ...kept("ZADD", "{l}:claimed", "1", "c.0"),
  ...kept("ZADD", "{l}:gone", "1", "d.0"),
  ...kept("HSET", "{l}:users", "ada", "1", "bob", "2")
]

const beatKeys = [...leases, "{l}:layout", "{l}:mail"]
const commandKeys = ["commands", "outcomes", "meta", "runs"].map((part) => `{u}:${part}`)
const commandArgs = ["u", "processes:", "60000"]
const putArgs = (id: string, run: string) =>
  commandArgs.concat([id, "d", run, "{}", "gateway", "90000", "600000", "9", "99", "9999", "s", "1"])
const sent = [...logBefore, { script: CommandLua.put, keys: commandKeys, args: putArgs("c", "r") }]

const calls: Record<string, Call> = {
  "attend, with readers": {
    script: PresenceLua.attend,
    before: [...logBefore, ...kept("SET", "{u}:revoked", "7"), ...kept("HSET", "{u}:late", "x", "8")],
    keys: presence,
    args: ["p", "2", "50000", "60000"]
  },
  "attend, with none any more": {
    script: PresenceLua.attend,
    before: [...logBefore, ...kept("HSET", "{u}:readers", "p", "1:2", "q", "1:2")],
    keys: presence,
    args: ["p", "0", "50000", "60000"]
  },
  "revoke": {
    script: PresenceLua.revoke,
    before: kept("SET", "{u}:revoked", "7"),
    keys: ["{u}:revoked"],
    args: ["channel", "60000"]
  },
  "acknowledge": {
    script: PresenceLua.acknowledge,
    before: logBefore,
    keys: ["{u}:meta"],
    args: ["e", "1", "channel"]
  },
  "late": { script: PresenceLua.late, before: [], keys: ["{u}:late"], args: ["x", "50000", "channel"] },
  "late, no more": {
    script: PresenceLua.late,
    before: kept("HSET", "{u}:late", "x", "8", "y", "9999999999999"),
    keys: ["{u}:late"],
    args: ["x", "0", "channel"]
  },
  "keep": { ...held("r2", "another"), before: [held("r1", "e2")] },
  "mend": { script: mend, before: logBefore, keys: log, args: ["e", "e2", "s", "60000", "channel"] },
  "mend, of the wrong type": {
    script: mend,
    before: [...logBefore, ...kept("SET", "{u}:runs", "x")],
    inSteps: true,
    keys: log,
    args: ["e", "e2", "s", "60000", "channel"]
  },
  "carryOver": { script: carryOver, before: logBefore, keys: ["{u}:meta"], args: ["p.0", "p.1"] },
  "beat": { script: LeaseLua.beat, before: leasesBefore, keys: beatKeys, args: ["a.0", "60000", "0", "b.0", "2"] },
  "beat, the first": { script: LeaseLua.beat, before: [], keys: beatKeys, args: ["a.0", "60000", "0"] },
  "beat, with mail": {
    script: LeaseLua.beat,
    before: [...leasesBefore, ...kept("HSET", "{l}:mail", "ada", "1", "bob", "2")],
    keys: [...leases, "{l}:layout", "{l}:mail"],
    args: ["a.0", "60000", "1", "ada", "1", "b.0", "2"]
  },
  "put": { script: CommandLua.put, before: logBefore, keys: commandKeys, args: putArgs("c", "r") },
  "put, of a run that ended": {
    script: CommandLua.put,
    before: [...logBefore, ["HSET", "{u}:meta", "r", "!\n1\n1\n,p,"]],
    keys: commandKeys,
    args: putArgs("c", "r")
  },
  "post": { script: CommandLua.post, before: [], keys: ["{l}:mail"], args: ["u", "7", "60000", "channel"] },
  "take": { script: CommandLua.take, before: sent, keys: commandKeys, args: [...commandArgs, "p"] },
  "take, of what is late": {
    script: CommandLua.take,
    before: [...sent, ...kept("HSET", "{u}:commands", "late", "9\nd\n1\n,p,\n\nr\n{}")],
    keys: commandKeys,
    args: [...commandArgs, "p"]
  },
  "decide": {
    script: CommandLua.decide,
    before: sent,
    keys: commandKeys,
    args: [...commandArgs, "c", "d", "r", "{}"]
  },
  "withdraw": { script: CommandLua.withdraw, before: sent, keys: commandKeys, args: [...commandArgs, "c", "d", "r"] },
  "enter": {
    script: LeaseLua.enter,
    before: kept("ZADD", "{l}:alive", "1", "a.0"),
    keys: ["{l}:alive", "{l}:users"],
    args: ["a.0", "ada", "1", "60000"]
  },
  "leave": { script: LeaseLua.leave, before: leasesBefore, keys: ["{l}:users"], args: ["ada", "1", "bob", "1"] },
  "release": {
    script: LeaseLua.release,
    before: kept("ZADD", "{l}:alive", "1", "a.0"),
    keys: ["{l}:alive", "{l}:users"],
    args: ["a.0"]
  },
  "finish": {
    script: LeaseLua.finish,
    before: leasesBefore,
    keys: ["{l}:claimed", "{l}:gone", "{l}:users"],
    args: ["c.0", "ada", "bob"]
  }
}

const commandsOf = ({ script: { lua } }: Call) => [
  ...new Set(Array.from(lua.matchAll(/call\('([A-Z]+)'/g), ([, command = ""]) => command.toLowerCase()))
]

describe.skipIf(program === undefined)("Redis, its scripts for which a right is missing", () => {
  for (const [name, call] of Object.entries(calls)) {
    it.live(`fault 4: ${name}`, () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          yield* server.send("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all")
          const admin = yield* connectTo(server.url)
          const app = yield* connectTo(server.url.replace("redis://", "redis://app:secret@"))
          const run = (client: typeof app, { args, keys, script }: Pick<Call, "script" | "keys" | "args">) =>
            Effect.tryPromise({
              try: () => client.sendCommand(["EVAL", script.lua, String(keys.length), ...keys, ...args]),
              catch: (cause) => toBrokerError(name, 0, cause)
            })
          const begin = Effect.gen(function*() {
            yield* Effect.promise(() => admin.flushAll())
            for (const step of call.before) {
              yield* "script" in step ? run(admin, step) : Effect.promise(() => admin.sendCommand([...step]))
            }
          })
          const readers: Record<string, (key: string) => Command> = {
            hash: (key) => ["HGETALL", key],
            string: (key) => ["GET", key],
            zset: (key) => ["ZRANGE", key, "0", "-1", "WITHSCORES"],
            stream: (key) => ["XRANGE", key, "-", "+"]
          }
          // All that there is, but for what time it is.
          const state = Effect.promise(async () => {
            const found: Array<string> = []
            for (const key of (await admin.keys("*")).toSorted()) {
              const read = readers[await admin.type(key)]
              assert.isDefined(read, key)
              if (read === undefined) continue
              const isKept = await admin.pTTL(key) > 0
              found.push(
                JSON.stringify([key, isKept, await admin.sendCommand([...read(key)])]).replaceAll(/\d{12,}/g, "T")
              )
            }
            return found
          })

          yield* begin
          const before = yield* state
          yield* run(app, call)
          const after = yield* state
          assert.isTrue(after.every((line) => line.includes("true")), after.join("\n"))
          let failures = 0
          for (const command of commandsOf(call)) {
            yield* begin
            yield* server.send("ACL", "SETUSER", "app", `-${command}`)
            const exit = yield* Effect.exit(run(app, call))
            yield* server.send("ACL", "SETUSER", "app", `+${command}`)
            if (Exit.isSuccess(exit)) {
              assert.deepStrictEqual(yield* state, after, `${command}: was not needed`)
              continue
            }
            failures++
            const error = yield* Effect.flip(exit)
            assert.instanceOf(error.reason, Broker.BrokerRefused, command)
            assert.strictEqual(error.blame, "broker", command)
            if (call.inSteps !== true) assert.deepStrictEqual(yield* state, before, `${command}: half-written`)
            yield* run(app, call)
            assert.deepStrictEqual(yield* state, after, `${command}: does not go on`)
          }
          assert.isAtLeast(failures, 2)
        })), 120_000)
  }
})

describe.skipIf(program === undefined)("Redis, a key of a user that is of the wrong type", () => {
  for (const part of ["commands", "outcomes"]) {
    it.live(
      `"${part}" counts for nothing, and heals with the next command`,
      () =>
        withServer({}, (server) =>
          Effect.gen(function*() {
            const broker = yield* startNode(server.url)
            const user = newUser()
            const key = `emitter:{${user}}:${part}`
            yield* broker.append(user, [startOf("r")])
            yield* receiving(broker, user)
            const words = Effect.gen(function*() {
              yield* server.send("DEL", key)
              yield* server.send("SET", key, "x")
              const word = yield* wordOf(send(broker, user, command()))
              yield* server.send("DEL", key)
              yield* server.send("XADD", key, "*", "a", "b")
              return [word, yield* wordOf(send(broker, user, command({ run: RunId.make("never") })))]
            })
            assert.deepStrictEqual(yield* words, ["accepted", "unknownRun"])
            yield* server.send("DEL", key)
            yield* server.send("SET", key, "x")
            yield* broker.append(user, [endOf("r")])
            assert.strictEqual(yield* wordOf(send(broker, user, command())), "ended")
            assert.match(yield* server.send("TYPE", `emitter:{${user}}:outcomes`), /hash/)
          })),
      120_000
    )
  }

  for (const part of ["revoked", "late", "readers"]) {
    it.live(
      `fault 4: "${part}" counts for nothing, and heals`,
      () =>
        withServer({}, (server) =>
          Effect.gen(function*() {
            // No call has to be quick here.
            const broker = yield* startNode(server.url, { deadline: "5 seconds" })
            const user = newUser()
            const key = `emitter:{${user}}:${part}`
            yield* broker.append(user, numbered(1))
            yield* server.send("DEL", key)
            yield* server.send("XADD", key, "*", "a", "b")
            assert.strictEqual(yield* broker.readers(user), 0)
            const revocations: Array<unknown> = []
            yield* broker.subscribe(user, (news) => void revocations.push(news))
            yield* broker.revoke(user)
            if (broker.late !== undefined) yield* broker.late(user, "x", 10_000)
            assert.strictEqual(yield* broker.readers(user), 1)
            assert.match(yield* server.send("TYPE", key), part === "revoked" ? /string/ : /hash/)
          })),
      120_000
    )
  }
})
