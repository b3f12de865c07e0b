/**
 * A broker that does to each append what it is told, and shows all that it took.
 *
 * It keeps a broker's promises otherwise: each batch whole or not at all, each event once, in order.
 */
import { type Duration, Effect, type Scope } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import {
  BrokerError,
  BrokerRefused,
  BrokerUnavailable,
  type Domains,
  RunLost,
  type Watcher
} from "../../../src/broker/Broker.ts"
import type { Envelope } from "../../../src/protocol/wire/Envelope.ts"
import type { RunId, UserId } from "../../../src/protocol/values/Identity.ts"
import type { Position } from "../../../src/protocol/values/Position.ts"
import { envelopes, userId } from "./envelopes.ts"

/**
 * - `ok` takes the batch, `die` dies, `throw` throws instead of giving an effect;
 * - `fail`, `refuse`, `timeOut` and `reject` fail typed: it is the broker's trouble, undecided, undecided, the user's;
 * - `loseAck` takes the batch and fails all the same, `hang` never ends;
 * - with `after` it happens that much later.
 */
export type Behaviour =
  | "ok"
  | "fail"
  | "refuse"
  | "timeOut"
  | "reject"
  | "die"
  | "throw"
  | "loseAck"
  | "hang"
  | { readonly after: Duration.Input; readonly do: "ok" | "fail" | "timeOut" | "loseAck" }

export interface Call {
  readonly user: UserId
  readonly batch: NonEmptyReadonlyArray<Envelope>
}

export class ScriptedBroker {
  /** Decides what happens to a call; `behaviour` by default. */
  decide: (call: Call) => Behaviour = () => this.behaviour
  behaviour: Behaviour = "ok"
  readonly calls: Array<Call> = []
  readonly domains?: Domains
  private readonly logs = new Map<UserId, Array<Envelope>>()

  constructor(domains?: Domains) {
    if (domains !== undefined) this.domains = domains
  }

  /** Takes a batch within the call, as a broker in memory does, if it is to take it at once. */
  readonly appendUnsafe = (user: UserId, batch: NonEmptyReadonlyArray<Envelope>): Position | undefined => {
    const isLost = batch.some(({ run }) => run !== undefined && this.lostRuns.has(run))
    return this.decide({ user, batch }) === "ok" && !isLost ? this.take(user, batch) : undefined
  }

  readonly append = (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>
  ): Effect.Effect<Position, BrokerError> => {
    if (this.decide({ user, batch }) === "throw") throw new Error("thrown, not failed")
    return Effect.suspend(() => {
      this.calls.push({ user, batch })
      // Who asks for ever would keep its test from failing.
      if (this.calls.length > 10_000) return Effect.die(new Error("the broker is asked for ever"))
      return this.act(this.decide({ user, batch }), user, batch)
    })
  }

  /** Does what would be done to an append of another user. */
  canary?: (user: UserId) => Effect.Effect<void, BrokerError> = () =>
    Effect.suspend(() => {
      const behaviour = this.decide({ user: canary, batch: envelopes("canary", 1) })
      return behaviour === "ok" ? Effect.void : Effect.asVoid(this.act(behaviour, canary, envelopes("canary", 1)))
    })

  /** What was told of users whose events are late: for how many milliseconds. */
  readonly told: Array<readonly [UserId, string, number]> = []

  readonly late = (user: UserId, by: string, forMs: number): Effect.Effect<void, BrokerError> =>
    Effect.sync(() => void this.told.push([user, by, forMs]))

  private readonly watchers = new Set<Watcher>()

  readonly watch = (watcher: Watcher): Effect.Effect<void, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.sync(() => void this.watchers.add(watcher)),
      () => Effect.sync(() => void this.watchers.delete(watcher))
    )

  /** Tells all who watch. */
  tell(news: "down" | "up", domain?: string): void {
    for (const watcher of this.watchers) watcher(news, domain)
  }

  /** Runs that were ended as lost by others: a batch with something of them is refused. */
  readonly lostRuns = new Set<RunId>()

  /** Runs that were asked to be ended as lost. */
  readonly lost: Array<readonly [UserId, ReadonlyArray<RunId>]> = []

  readonly endLost = (user: UserId, runs: ReadonlyArray<RunId>): Effect.Effect<number, BrokerError> =>
    Effect.sync(() => {
      this.lost.push([user, runs])
      return runs.length
    })

  /** What is in the user's log. */
  log(user: UserId): ReadonlyArray<Envelope> {
    return this.logs.get(user) ?? []
  }

  private act(
    behaviour: Behaviour,
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>
  ): Effect.Effect<Position, BrokerError> {
    if (typeof behaviour === "object") {
      return Effect.andThen(Effect.sleep(behaviour.after), Effect.suspend(() => this.act(behaviour.do, user, batch)))
    }
    switch (behaviour) {
      case "ok": {
        const [first, ...others] = new Set(
          batch.flatMap(({ run }) => run !== undefined && this.lostRuns.has(run) ? [run] : [])
        )
        return first === undefined
          ? Effect.succeed(this.take(user, batch))
          : Effect.fail(new BrokerError({ reason: new RunLost({ runs: [first, ...others] }) }))
      }
      case "loseAck":
        this.take(user, batch)
        return unavailable
      case "fail":
        return unavailable
      case "refuse":
        return Effect.fail(new BrokerError({ reason: new BrokerRefused({ operation: "append", detail: "no room" }) }))
      case "timeOut":
        return timedOut
      case "reject":
        return rejected
      case "die":
      case "throw":
        return Effect.die(new Error("a bug in the broker"))
      case "hang":
        return Effect.never
    }
  }

  private take(user: UserId, batch: NonEmptyReadonlyArray<Envelope>): Position {
    const log = this.logs.get(user) ?? []
    this.logs.set(user, log)
    for (const envelope of batch) {
      if (!log.some(({ id }) => id === envelope.id)) log.push(envelope)
    }
    const last = batch[batch.length - 1]
    return { epoch: "e", offset: 1 + log.findIndex(({ id }) => id === last?.id) }
  }
}

const canary = userId("canary")

const timedOut = Effect.fail(
  new BrokerError({
    reason: new BrokerUnavailable({
      operation: "append",
      afterMs: 500,
      cause: new Error("no answer"),
      blame: "undecided"
    })
  })
)

const rejected = Effect.fail(
  new BrokerError({ reason: new BrokerRefused({ operation: "append", detail: "a poisoned batch", blame: "user" }) })
)

export const unavailable = Effect.fail(
  new BrokerError({ reason: new BrokerUnavailable({ operation: "append", afterMs: 1, cause: new Error("down") }) })
)
