/**
 * One trial of a single process that keeps its logs in a file: its devices connect, its agents run, it is killed, frozen and
 * restarted, all becomes quiet, and the promises are checked, as those of a cluster are.
 */
import { Effect, Redacted, Schedule, Schema, type Scope } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Position } from "../../src/protocol/values/Position.ts"
import { devicesReloaded, type Fault, type Faults, freeze, kill, stepClock, type Storm, strikeAll } from "./Chaos.ts"
import * as Child from "./Child.ts"
import { type Emitting, place, secret, stricken } from "./Cluster.ts"
import type { Sent } from "./Commander.ts"
import * as Devices from "./Devices.ts"
import { hasRested, latestCounts, read } from "./Record.ts"
import { list } from "./report.ts"
import { isQuiet, type Options, quietWithinMs, rest, until } from "./Trial.ts"
import { type Account, judge } from "./Verdict.ts"
import * as Ways from "./Ways.ts"

/** What is there while something happens. */
export interface SingleTrial {
  readonly service: Emitting
  readonly devices: Devices.Devices
}

/** What a trial came to. */
export interface Outcome extends SingleTrial {
  readonly account: Account
}

const faults: ReadonlyArray<ReadonlyArray<Fault<SingleTrial>>> = [
  [
    { name: "process killed", strike: ({ service }, draw) => kill(service, draw) },
    {
      // Its next life has hardly begun.
      name: "process killed twice",
      strike: ({ service }, draw) => Effect.andThen(kill(service, draw), kill(service, draw))
    },
    { name: "process frozen", strike: ({ service }, draw) => freeze(service, draw) },
    {
      name: "process restarted",
      strike: ({ service }) => Effect.andThen(service.stop, service.start)
    }
  ],
  // What these do to a process that is not there does nothing.
  [
    { name: "user floods", strike: ({ service }) => service.child().flood },
    { name: "clock stepped", strike: ({ service }) => stepClock(service) },
    devicesReloaded
  ]
]

/** Strikes the process and its devices. */
export const storm = (trial: SingleTrial, options: Storm): Effect.Effect<Faults> => strikeAll(faults, trial, options)

const decodeHeads = Schema.decodeUnknownEffect(
  Schema.Array(Schema.Struct({ epoch: Schema.String, offset: Schema.Natural }))
)

const headsOf = (port: string, users: ReadonlyArray<string>) =>
  Effect.tryPromise(async (signal) => {
    const response = await fetch(`http://127.0.0.1:${port}/heads?users=${users.join(",")}`, { signal })
    return await response.json()
  }).pipe(
    Effect.flatMap(decodeHeads),
    Effect.timeout("10 seconds"),
    Effect.map((heads): ReadonlyMap<string, Position> =>
      new Map(users.flatMap((user, index) => {
        const head = heads[index]
        return head === undefined ? [] : [[user, head] as const]
      }))
    ),
    Effect.retry({ schedule: Schedule.spaced("100 millis"), times: 100 }),
    Effect.orDie
  )

// Its agents emit no more; what is on its way arrives, also the endings of runs whose process died. Then it is stopped.
const settle = Effect.fnUntraced(function*(
  { devices, service }: SingleTrial,
  users: ReadonlyArray<string>,
  commands: ReadonlyArray<Sent>
) {
  const problem = yield* rest([service])
  const problems = problem === undefined ? [] : [problem]
  let heads = yield* headsOf(service.child().ready, users)
  for (const end = performance.now() + quietWithinMs; !isQuiet({ devices }, heads) && performance.now() < end;) {
    yield* Effect.sleep("250 millis")
    heads = yield* headsOf(service.child().ready, users)
  }
  const { code, signal } = yield* service.stop
  if (code !== 0) problems.push(`P7: the process ended with ${code ?? signal} when it was stopped`)
  const account = judge({ devices, heads, records: [service.record()], commands })
  return { ...account, broken: [...problems, ...account.broken] }
})

/** Runs a trial, with `happening` in its middle, which gives the commands that were sent. */
export const run = <E, R>(
  options: Options,
  happening: (trial: SingleTrial) => Effect.Effect<ReadonlyArray<Sent>, E, R>
): Effect.Effect<Outcome, E, Exclude<R, Scope.Scope>> =>
  Effect.gen(function*() {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-emitter-single-test-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    )
    const users = Array.from({ length: options.users }, (_, index) => `user-${index + 1}`)
    const balancer = yield* Ways.balancer(["single"])
    const file = join(folder, "single.record")
    let lives = 0
    const launch = Effect.suspend(() =>
      Child.start("single.ts", {
        NODE_NAME: "single",
        TOKEN_SECRET: Redacted.value(secret),
        LOG_FILE: join(folder, "events.db"),
        LIFE: `single-life-${++lives}`,
        SEED: String(options.seed * 1_000 + lives),
        USERS: [...users, stricken].join(","),
        AGENTS: String(options.agents),
        PAUSE_MS: String(options.pauseMs),
        RECORD: file,
        SPOOL: join(folder, "events.spool")
      })
    ).pipe(Effect.tap(({ ready }) => Effect.sync(() => balancer.move("single", Number(ready)))))
    const service: Emitting = {
      ...(yield* place("single", launch, () => balancer.move("single", undefined))),
      record: () => read(file),
      spooled: () => latestCounts(file)?.spooled ?? 0,
      hasRested: () => hasRested(file)
    }
    yield* service.start
    const url = `ws://127.0.0.1:${balancer.port}/events`
    const devices = yield* Devices.make(url, users, options.devicesPerUser)
    if (!(yield* until(() => devices.all.every(({ status }) => status() === "live"), 60_000))) {
      const statuses = list(Object.fromEntries(
        Object.entries(Object.groupBy(devices.all, ({ status }) => status())).map((
          [status, some = []]
        ) => [status, some.length])
      ))
      return yield* Effect.die(new Error(`the devices do not come up: ${statuses}`))
    }
    const trial: SingleTrial = { service, devices }
    const commands = yield* happening(trial)
    return { ...trial, account: yield* settle(trial, users, commands) }
  }).pipe(Effect.scoped)
