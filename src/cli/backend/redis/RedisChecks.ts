/**
 * Looks for what is wrong with a Redis server: version, role, memory, persistence,
 * rights, layout, clock and latency.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { BrokerError } from "../../../broker/BrokerError.ts"
import * as RedisKeys from "../../../broker/redis/codec/Keys.ts"
import * as Reply from "../../../broker/redis/codec/Reply.ts"
import type { Client } from "../../../broker/redis/connection/Client.ts"
import type { ServerOptions } from "../../../broker/redis/connection/Options.ts"
import { toBrokerError } from "../../../broker/redis/connection/RedisFailure.ts"
import * as Monotonic from "../../../protocol/values/Monotonic.ts"
import * as Names from "../../../protocol/values/Names.ts"
import { fault, type Finding, note, ok, warning } from "../../output/Finding.ts"
import { ofClock, ofLatency } from "../ServerFindings.ts"
import * as Facts from "./Facts.ts"
import * as Rights from "./Rights.ts"

type Info = ReadonlyMap<string, string>

const ofVersion = (info: Info): Finding => {
  const { isGood, text } = Facts.versionOf(info)
  return isGood ? ok("version", text) : fault("version", `it is ${text}`, "upgrade it to Redis 7 or later, or Valkey")
}

const ofRole = (info: Info): Finding => {
  const role = info.get("role") ?? "unknown"
  if (info.get("loading") === "1") {
    return fault("role", "it is loading its data, and takes nothing yet", "wait until it has; INFO tells how far it is")
  }
  return role === "master"
    ? ok("role", "it is a primary")
    : fault("role", `it is a ${role}, which takes no writes`, "write the address of the primary into REDIS_URL")
}

const ofEviction = (info: Info): Finding => {
  const policy = info.get("maxmemory_policy") ?? "unknown"
  return policy === "noeviction" ? ok("eviction", "it throws nothing away") : fault(
    "eviction",
    `its maxmemory-policy is ${policy}: it throws away logs that devices have not read when it is full`,
    "set maxmemory-policy noeviction, so that it refuses what it has no room for, and spools take over"
  )
}

const percentFull = 80

const ofMemory = (info: Info): Finding => {
  const [used, most] = [Facts.numberOf(info, "used_memory"), Facts.numberOf(info, "maxmemory")]
  const text = `${mebibytes(used)} of ${mebibytes(most)} MiB`
  if (most === 0) {
    return warning(
      "memory",
      `it has no maxmemory, and uses ${mebibytes(used)} MiB`,
      "set maxmemory to about 60 % of the machine's, or the system ends the server when it is full"
    )
  }
  if (used >= most) return fault("memory", `it is full (${text}), and refuses appends`, roomier)
  return used > most * percentFull / 100
    ? warning("memory", `it is nearly full (${text})`, roomier)
    : ok("memory", text)
}

const roomier = "raise maxmemory, shorten REDIS_MAX_AGE or lower REDIS_MAX_EVENTS, or spread users with REDIS_URLS"

const mebibytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(bytes < 100 * 1024 * 1024 ? 1 : 0)

const ofPersistence = (info: Info): Finding => {
  if (info.get("aof_last_write_status") === "err") {
    return fault("persistence", "it cannot write its append-only file", "look at its disk and its log")
  }
  return info.get("aof_enabled") === "1" ? ok("persistence", "it has an append-only file") : warning(
    "persistence",
    "it has no append-only file: a restart loses every log",
    "set appendonly yes and appendfsync everysec"
  )
}

const ofLayout = (found: unknown, { prefix }: ServerOptions): Finding => {
  if (found === null) return note("layout", `nobody has written under the prefix "${prefix}" yet`)
  const version = Reply.text(found)
  return version === RedisKeys.layout ? ok("layout", `its keys have layout ${version}`) : fault(
    "layout",
    `it has keys of layout ${version} under the prefix "${prefix}", and this version needs ${RedisKeys.layout}`,
    "choose another prefix (REDIS_PREFIX) or database, or stop all processes of the other version and delete its keys"
  )
}

const ofRights = ({ channels, commands, keys }: Rights.Missing, { prefix }: ServerOptions): Finding => {
  const lacks = [
    ...commands.map((command) => `+${command}`),
    ...(keys ? [`~${prefix}:*`] : []),
    ...(channels ? [`&${prefix}:*`] : [])
  ]
  if (lacks.length === 0) return ok("rights", "its user may do what is needed")
  // Without it events that are too long for the server are found out one by one.
  const [check, text] = lacks.length === 1 && lacks[0] === "+config|get"
    ? [warning, "its user may not ask how long an argument may be"] as const
    : [fault, `its user lacks ${lacks.length} of the rights that are needed`] as const
  return check("rights", text, `ACL SETUSER <user> ${lacks.join(" ")}, and keep it in the server's ACL file`)
}

const pings = 9

/**
 * All checks of a server over a connection to it.
 *
 * @category operations
 * @since 0.2.0
 */
export const checks = Effect.fnUntraced(function*(
  client: Client,
  server: ServerOptions
): Effect.fn.Return<ReadonlyArray<Finding>, BrokerError> {
  const clock = yield* Clock.Clock
  const name = yield* Names.next
  const ask = <A>(send: () => Promise<A>) =>
    Effect.tryPromise({ try: send, catch: (cause) => toBrokerError("ask", 0, cause) })
  const seen: Array<number> = []
  for (let ping = 0; ping < pings; ping++) {
    const start = Monotonic.millisUnsafe(clock)
    yield* ask(() => client.sendCommand(["PING"]))
    seen.push(Monotonic.millisUnsafe(clock) - start)
  }
  const latencyMs = seen.toSorted((a, b) => a - b)[pings >> 1] ?? 0
  const info = Facts.read(Reply.text(yield* ask(() => client.sendCommand(["INFO"]))))
  const skew = Effect.map(ask(() => client.sendCommand(["TIME"])), (time) => {
    const [seconds, micros] = Reply.list(time).map((part) => Number(Reply.text(part)))
    return (seconds ?? 0) * 1000 + (micros ?? 0) / 1000 + latencyMs / 2 - clock.currentTimeMillisUnsafe()
  })
  const layout = ask(() => client.sendCommand(["GET", RedisKeys.ofLayout(server.prefix)]))
  // What its user may not read, another finding tells.
  const clockFinding = yield* Effect.match(skew, { onFailure: () => [], onSuccess: (ms) => [ofClock(ms)] })
  const layoutFinding = yield* Effect.match(layout, {
    onFailure: () => [],
    onSuccess: (found) => [ofLayout(found, server)]
  })
  // Last of all: the connection is of no other use once it has subscribed.
  const lacks = yield* ask(() => Rights.missing(client, server.prefix, name))
  return [
    ofVersion(info),
    ofRole(info),
    ofRights(lacks, server),
    ...layoutFinding,
    ofEviction(info),
    ofMemory(info),
    ofPersistence(info),
    ...clockFinding,
    ofLatency(latencyMs, { deadline: server.deadline, prefix: "REDIS", lookFor: "slow commands in SLOWLOG" })
  ]
})
