/**
 * Every question, in the order of the table. A question is loaded only by the process that answers it.
 */
import type { Question } from "./harness/question.ts"

export const questions: ReadonlyMap<string, () => Promise<{ readonly question: Question }>> = new Map([
  ["emit-critical", () => import("./emit-critical.ts")],
  ["emit-batched", () => import("./emit-batched.ts")],
  ["emit-coalesced", () => import("./emit-coalesced.ts")],
  ["emitter-lifecycle", () => import("./emitter-lifecycle.ts")],
  ["users-growth", () => import("./users-growth.ts")],
  ["breaker", () => import("./breaker.ts")],
  ["e2e-batched", () => import("./e2e-batched.ts")],
  ["e2e-critical", () => import("./e2e-critical.ts")],
  ["latency", () => import("./latency.ts")],
  ["pauses", () => import("./pauses.ts")],
  ["neighbours", () => import("./neighbours.ts")],
  ["idle-memory", () => import("./idle-memory.ts")],
  ["fan-out", () => import("./fan-out.ts")],
  ["jitter", () => import("./jitter.ts")],
  ["compression", () => import("./compression.ts")],
  ["catch-up", () => import("./catch-up.ts")],
  ["sqlite", () => import("./sqlite.ts")],
  ["postgres", () => import("./postgres.ts")],
  ["postgres-retention", () => import("./postgres-retention.ts")],
  ["redis-cluster", () => import("./redis-cluster.ts")],
  ["redis-append", () => import("./redis-append.ts")],
  ["redis-commands", () => import("./redis-commands.ts")],
  ["commands", () => import("./commands.ts")],
  ["redis-idle", () => import("./redis-idle.ts")],
  ["redis-catch-up", () => import("./redis-catch-up.ts")]
])

/**
 * Those that need a Redis, and are left out where there is none.
 */
export const needRedis: ReadonlySet<string> = new Set([
  "postgres",
  "neighbours",
  "redis-cluster",
  "redis-append",
  "redis-commands",
  "commands",
  "redis-idle",
  "redis-catch-up"
])

/**
 * Those that need a Postgres, and are left out where there is none.
 */
export const needPostgres: ReadonlySet<string> = new Set(["postgres", "postgres-retention"])
