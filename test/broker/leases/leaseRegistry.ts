/**
 * Leases in memory, for processes that are only played: what `RedisLeases` keeps in Redis, over any broker that several
 * such processes share.
 */
import { Clock, Duration, Effect, type Scope } from "effect"
import { Broker } from "../../../src/index.ts"
import * as Leases from "../../../src/broker/leases/Leases.ts"
import * as RunClaims from "../../../src/broker/leases/RunClaims.ts"
import type { Beat, Counted, LeaseStore } from "../../../src/broker/leases/LeaseStore.ts"
import type { RunId, UserId } from "../../../src/protocol/values/Identity.ts"
import * as Monotonic from "../../../src/protocol/values/Monotonic.ts"
import * as RunState from "../../../src/protocol/run/RunState.ts"

type BrokerService = Broker.Broker["Service"]

export const unavailable = new Broker.BrokerError({
  reason: new Broker.BrokerUnavailable({ operation: "lease", afterMs: 0, cause: new Error("it is away") })
})

/** What was done, in order, as `operation lease …`. */
export type Log = Array<string>

export class LeaseRegistry {
  /** Leases by their counts. */
  readonly alive = new Map<string, number>()
  readonly claimed = new Set<string>()
  readonly gone = new Set<string>()
  readonly users = new Map<string, Map<UserId, number>>()
  readonly active = new Map<UserId, Map<RunId, string>>()
  /** Leases by the user and the run that is claimed under them. */
  readonly claims = new Map<string, string>()
  readonly log: Log = []
  isAway = false
  private now = 0
  private callsNow = 0
  private readonly clock: Clock.Clock
  private readonly lease: Duration.Duration
  private readonly broker: BrokerService

  constructor(clock: Clock.Clock, lease: Duration.Duration, broker: BrokerService) {
    this.clock = clock
    this.lease = lease
    this.broker = broker
  }

  static make = (lease: Duration.Input, broker: BrokerService): Effect.Effect<LeaseRegistry> =>
    Effect.map(Clock.Clock, (clock) => new LeaseRegistry(clock, Duration.fromInputUnsafe(lease), broker))

  /** Everything is forgotten, as by a server that came back empty. */
  forget(): void {
    for (const all of [this.alive, this.claimed, this.gone, this.users, this.active, this.claims]) all.clear()
  }

  /** The leases under which something is written down of a user. */
  leasesOf(user: UserId): ReadonlyArray<string> {
    return [...this.users].flatMap(([lease, users]) => users.has(user) ? [lease] : [])
  }

  // A process that asks for ever while no time passes would keep its test from failing.
  private patience(what: string): void {
    const now = Monotonic.millisUnsafe(this.clock)
    this.callsNow = now === this.now ? this.callsNow + 1 : 1
    this.now = now
    if (this.callsNow > 1_000) throw new Error(`"${what}" is asked for ever, while no time passes`)
  }

  private do<A>(what: string, act: () => A): Effect.Effect<A, Broker.BrokerError> {
    return Effect.suspend(() => {
      this.patience(what)
      if (this.isAway) return Effect.fail(unavailable)
      this.log.push(what)
      return Effect.succeed(act())
    })
  }

  get store(): LeaseStore {
    return {
      beat: (lease, over) => this.do(`beat ${lease}`, () => this.beat(lease, over)),
      enter: (lease, user, mark) =>
        this.do(`enter ${lease} ${user}`, () => {
          if (!this.alive.has(lease)) return false
          this.users.set(lease, (this.users.get(lease) ?? new Map()).set(user, mark))
          return true
        }),
      leave: (lease, entries) =>
        this.do(`leave ${lease} ${entries.map(([user]) => user).join()}`, () => {
          const users = this.users.get(lease)
          for (const [user, mark] of entries) if (users?.get(user) === mark) users.delete(user)
        }),
      release: (lease) =>
        this.do(`release ${lease}`, () => {
          if ((this.users.get(lease)?.size ?? 0) === 0) this.alive.delete(lease)
        }),
      countOf: (lease) => this.do(`countOf ${lease}`, () => this.alive.get(lease)),
      usersOf: (lease) => this.do(`usersOf ${lease}`, () => [...this.users.get(lease)?.keys() ?? []].slice(0, 2)),
      finish: (lease, users) =>
        this.do(`finish ${lease}`, () => {
          const left = this.users.get(lease)
          for (const user of users) left?.delete(user)
          if ((left?.size ?? 0) > 0) return false
          this.users.delete(lease)
          this.claimed.delete(lease)
          this.gone.add(lease)
          return true
        }),
      hasRuns: (user, lease) => this.do(`hasRuns ${lease} ${user}`, () => this.runsOf(user, lease).length > 0),
      carryOver: (user, from, to) =>
        this.do(`carryOver ${from} ${to} ${user}`, () => {
          for (const run of this.runsOf(user, from)) this.active.get(user)?.set(run, to)
        }),
      endRuns: (user, lease) =>
        Effect.flatMap(
          this.do(`endRuns ${lease} ${user}`, () => this.runsOf(user, lease)),
          (runs) =>
            Effect.tap(this.broker.endLost(user, runs), () =>
              Effect.sync(() => {
                for (const run of runs) this.active.get(user)?.delete(run)
              }))
        )
    }
  }

  get claimStore(): RunClaims.ClaimStore {
    return {
      claim: (user, run, lease, over) =>
        this.do(`claim ${lease} ${user} ${run}`, () => {
          const found = this.claims.get(`${user} ${run}`) ?? ""
          if (found !== over && found !== lease) return found
          this.claims.set(`${user} ${run}`, lease)
          return lease
        }),
      giveBack: (user, run, process) =>
        this.do(`giveBack ${process} ${user} ${run}`, () => {
          if (this.claims.get(`${user} ${run}`)?.startsWith(`${process}.`) === true) {
            this.claims.delete(`${user} ${run}`)
          }
        })
    }
  }

  /**
   * A process over the broker, or over what it sees of it: it holds a lease until its scope closes. `guard` stands before
   * all that it does.
   */
  process = Effect.fnUntraced(function*(this: LeaseRegistry, options: {
    readonly name: string
    readonly broker?: BrokerService
    readonly guard?: <A>(effect: Effect.Effect<A, Broker.BrokerError>) => Effect.Effect<A, Broker.BrokerError>
    readonly notes?: Partial<Leases.Notes>
  }): Effect.fn.Return<BrokerService, never, Scope.Scope> {
    const { guard = (effect) => effect, name, notes } = options
    const { store } = this
    const leases = yield* Leases.make({
      name,
      lease: this.lease,
      store: {
        beat: (...args) => guard(store.beat(...args)),
        enter: (...args) => guard(store.enter(...args)),
        leave: (...args) => guard(store.leave(...args)),
        release: (...args) => guard(store.release(...args)),
        countOf: (...args) => guard(store.countOf(...args)),
        usersOf: (...args) => guard(store.usersOf(...args)),
        finish: (...args) => guard(store.finish(...args)),
        hasRuns: (...args) => guard(store.hasRuns(...args)),
        carryOver: (...args) => guard(store.carryOver(...args)),
        endRuns: (...args) => guard(store.endRuns(...args))
      },
      notes: { runsEnded: () => {}, renewalFailed: () => {}, leaseLost: () => {}, ...notes }
    })
    const { claimStore } = this
    const claims = yield* RunClaims.make({
      node: name,
      leases,
      countOf: (lease) => guard(store.countOf(lease)),
      store: {
        claim: (...args) => guard(claimStore.claim(...args)),
        giveBack: (...args) => guard(claimStore.giveBack(...args))
      }
    })
    const { appendUnsafe: _, ...broker } = options.broker ?? this.broker
    return {
      ...broker,
      claim: claims.claim,
      append: (user, batch) =>
        batch.some(({ run }) => run !== undefined)
          ? leases.hold(user, (lease, quiet) =>
            Effect.andThen(
              claims.confirm(user, batch, lease),
              guard(Effect.tap(broker.append(user, batch), () =>
                Effect.sync(() => {
                  if (this.note(user, lease, batch) === 0) quiet()
                })))
            ))
          : guard(broker.append(user, batch))
    }
  })

  private runsOf(user: UserId, lease: string): ReadonlyArray<RunId> {
    return [...this.active.get(user) ?? []].flatMap(([run, holder]) => holder === lease ? [run] : [])
  }

  private note(user: UserId, lease: string, batch: Parameters<BrokerService["append"]>[1]): number {
    const runs = this.active.get(user) ?? new Map<RunId, string>()
    this.active.set(user, runs)
    for (const { run, type } of batch) {
      if (run === undefined) continue
      if (RunState.isTerminal(type)) runs.delete(run)
      else runs.set(run, lease)
    }
    return runs.size
  }

  private beat(lease: string, over: ReadonlyArray<Counted>): Beat {
    const isLost = this.claimed.has(lease) || this.gone.has(lease)
    const state = isLost ? "lost" : this.alive.has(lease) ? "held" : "taken"
    if (!isLost) this.alive.set(lease, Math.max(0, ...this.alive.values()) + 1)
    for (const other of over) {
      if (this.alive.get(other.lease) !== other.count) continue
      this.alive.delete(other.lease)
      this.claimed.add(other.lease)
    }
    const others = [...this.alive].flatMap(([other, count]) => other === lease ? [] : [{ lease: other, count }])
      .toSorted((one, other) => one.count - other.count)
    return { state, others, claimed: [...this.claimed] }
  }
}
