/**
 * Redis servers of the bench's own, without persistence unless it is asked for.
 */
import { Effect, Scope } from "effect"
import { findProgram } from "../../test/support/program.ts"
import { type RedisServer, redisServer } from "../../test/support/redis.ts"
import { seconds } from "./clock.ts"
import { check } from "./question.ts"

/**
 * What a server has used so far, and what it holds.
 */
export interface Usage {
  /** Processor time of its main thread, in seconds. */
  readonly cpu: number
  /** Bytes that it has read from clients and written to them. */
  readonly network: number
  /** Bytes that it has allocated. */
  readonly memory: number
  /** Commands that it has carried out, those of scripts included. */
  readonly commands: number
}

export interface Redis {
  readonly url: string
  readonly usage: () => Promise<Usage>
  /** Makes what it keeps of a user something else, which no append can be made to. */
  readonly spoil: (user: string) => Promise<void>
  readonly freeze: () => Promise<void>
  /** Tells when that was. */
  readonly thaw: () => Promise<number>
}

const number = (info: string, field: string): number => {
  const text = new RegExp(`^${field}:([0-9.]+)`, "m").exec(info)?.[1]
  check(text !== undefined, `Redis does not tell ${field}`)
  return Number(text)
}

const measured = (server: RedisServer): Redis => ({
  url: server.url,
  usage: async () => {
    const ask = (section: string) => Effect.runPromise(server.send("INFO", section))
    const cpu = await ask("cpu")
    const stats = await ask("stats")
    return {
      cpu: number(cpu, "used_cpu_user_main_thread") + number(cpu, "used_cpu_sys_main_thread"),
      network: number(stats, "total_net_input_bytes") + number(stats, "total_net_output_bytes"),
      memory: number(await ask("memory"), "used_memory"),
      commands: number(stats, "total_commands_processed")
    }
  },
  spoil: async (user) => {
    for (const key of ["log", "meta", "sources"]) {
      await Effect.runPromise(server.send("DEL", `emitter:{${user}}:${key}`))
      await Effect.runPromise(server.send("SET", `emitter:{${user}}:${key}`, "not what it should be"))
    }
  },
  freeze: () => Effect.runPromise(server.freeze),
  thaw: async () => {
    const at = seconds()
    await Effect.runPromise(server.thaw)
    return at
  }
})

/**
 * Starts servers for the time of `use`, and kills them however it ends. What `use` puts into the scope after it started a
 * server ends before that server does.
 */
export const withRedis = <A>(use: (start: () => Promise<Redis>, scope: Scope.Scope) => Promise<A>): Promise<A> =>
  Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const scope = yield* Effect.scope
    const program = findProgram("redis-server") ?? "redis-server"
    const start = Scope.provide(Effect.map(redisServer(program), measured), scope)
    return yield* Effect.promise(() => use(() => Effect.runPromise(start), scope))
  })))
