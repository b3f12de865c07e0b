/**
 * One world in which a schedule happens: processes that emit and die, users with devices, a broker and channels that fail.
 * Time is the test clock's.
 */
import { Clock, Context, Duration, Effect, Exit, Fiber, Layer, Option, Schema, Scope } from "effect"
import {
  AgentEvents,
  Broker,
  DeadLetters,
  Emitter,
  EmitterLayer,
  Emitters,
  Event,
  FallbackChannel,
  Identity,
  Spool
} from "../../src/index.ts"
import type { Envelope } from "../../src/protocol/index.ts"
import { type Fault, TestBroker, TestChannel } from "../../src/testing/index.ts"
import { TestClock } from "effect/testing"
import * as MemorySpoolStore from "../../src/emitter/fallback/MemorySpoolStore.ts"
import * as Hub from "../../src/hub/Hub.ts"
import * as Monotonic from "../../src/protocol/values/Monotonic.ts"
import { LeaseRegistry } from "../broker/leases/leaseRegistry.ts"
import { WallClock } from "../support/wallClock.ts"
import { Commanded, Steer } from "./Commanded.ts"
import { Device } from "./Device.ts"
import { broken, type Drop, type Emission, isCritical, isPoison, type Seen } from "./Facts.ts"
import { type Life, Logs, seen, Spooled } from "./Places.ts"
import type { Ailment, Kind, Setting, Step } from "./Schedule.ts"

const Hint = Event.make("hint", { payload: { n: Schema.Number }, delivery: "volatile" })

const eventOf = (kind: Kind, tag: number): Event.Event => {
  switch (kind) {
    case "critical":
      return Event.critical(AgentEvents.Custom.make({ name: "tag", data: tag }))
    case "batched":
    case "confirmed":
      return AgentEvents.Custom.make({ name: "tag", data: tag })
    case "poison":
      return Event.critical(AgentEvents.Custom.make({ name: "tag", data: `${tag} poison` }))
    case "poisonBatched":
      return AgentEvents.Custom.make({ name: "tag", data: `${tag} poison` })
    case "large":
      return Event.critical(AgentEvents.Custom.make({ name: "tag", data: `${tag} ${"x".repeat(400)}` }))
    case "invalid":
      return Event.critical(AgentEvents.Custom.make({ name: "", data: tag }))
    case "volatile":
      return Hint.make({ n: tag })
    case "thinking":
      return AgentEvents.AgentThinking.make({ text: String(tag) })
    case "text":
      return AgentEvents.TextDelta.make({ messageId: "m", delta: `${tag};` })
    case "progress":
      return AgentEvents.ProgressUpdate.make({ progress: tag % 100, message: String(tag) })
  }
}

/**
 * How many events wait to be sent, how many are on their way, and how often the broker's breaker opened though the broker
 * was well.
 */
export interface Load {
  readonly pending: number
  readonly inFlight: number
  readonly openings: number
}

interface OpenEmitter {
  readonly service: Emitter.Emitter["Service"]
  readonly scope: Scope.Closeable
}

interface Process extends Life {
  /** How many of its drops were noted. */
  dropped: number
  /** Appends under way, by user. */
  readonly outstanding: Map<Identity.UserId, number>
  /** Replays and confirmations under way: they deliver on their own. */
  elsewhere: number
  /** Whether the broker itself failed at any time of this life. */
  isBrokerTroubled: boolean
  /** Users who had trouble of their own in this life. */
  readonly troubled: Set<Identity.UserId>
  readonly scope: Scope.Closeable
  readonly emitters: Emitters["Service"]
  readonly letters: DeadLetters.DeadLetters["Service"]
  readonly open: Map<string, OpenEmitter>
  /** The emitters of runs that are under way, by the place of their emitter. */
  readonly inRun: Map<string, Emitter.Emitter["Service"]>
}

const inFlightOf = (stats: Emitter.Stats): number => {
  const { appended, deadLettered, dropped, handedOver, merged, pending } = stats
  const accepted = Object.values(stats.accepted).reduce((sum, n) => sum + n, 0)
  const done = appended + deadLettered + handedOver + dropped.nobodyConnected + dropped.overflow + dropped.closed
  return accepted - merged - done - pending
}

const acceptedBy = (process: Process): Effect.Effect<number> =>
  Effect.map(process.emitters.stats, ({ accepted }) => Object.values(accepted).reduce((sum, n) => sum + n, 0))

const confirmed = (process: Process, service: Emitter.Emitter["Service"], event: Event.Event) =>
  Effect.suspend(() => {
    process.elsewhere++
    return Effect.map(
      service.emitConfirmed(event, { within: "50 millis", attempts: 2 }),
      (position): Emitter.Receipt => ({ _tag: "Appended", position })
    ).pipe(Effect.onExit(() => Effect.sync(() => process.elsewhere--)))
  })

export const closeTimeoutMs = 300

const leaseMs = 400

const kindOf = (behave: Fault.Fault): Fault.FaultKind => typeof behave === "object" ? behave.do : behave

/** Whether a broker that behaves so does not answer. */
const isAway = (behave: Fault.Fault): boolean => ["fail", "refuse", "hang"].includes(kindOf(behave))

/** How long a broker that behaves so takes, in milliseconds. */
const delayOf = (behave: Fault.Fault): number =>
  typeof behave === "object" ? Duration.toMillis(Duration.fromInputUnsafe(behave.after)) : 0

const ailments: Record<Ailment, Fault.Fault> = {
  reject: "reject",
  refuse: "refuse",
  die: "die",
  slow: { after: 300, do: "refuse" }
}

const total = (counts: ReadonlyMap<unknown, number>): number => [...counts.values()].reduce((sum, n) => sum + n, 0)

const hasPoison = (batch: ReadonlyArray<Envelope.Envelope>): boolean =>
  batch.some(({ data, type }) => type === "custom" && String(data["data"]).endsWith(" poison"))

/** What stands between an engine and its broker, to plant a mistake. */
export type Plant = (broker: Broker.Broker["Service"]) => Broker.Broker["Service"]

export class World {
  readonly setting: Setting
  readonly users: ReadonlyArray<Identity.UserId>
  readonly logs: Logs
  readonly spooled: Spooled
  /** Which processes live, as they know of each other. */
  readonly leases: LeaseRegistry
  readonly devices: ReadonlyArray<Device>
  readonly emissions = new Map<number, Emission>()
  /** The runs that began, and the lives in which they did. */
  readonly runs = new Map<string, number>()
  readonly letters = new Map<string, Seen>()
  readonly pushed: Array<Seen> = []
  /** The runs whose effects have ended. */
  readonly finished = new Set<string>()
  /** The most runs that may have begun. */
  mayHaveBegun = 0
  /** The most tools that may have been called. */
  mayHaveCalled = 0
  /** What engines said they dropped for want of room, or in closing: when, and how many events. */
  readonly drops: Array<Drop> = []
  /** What devices asked of runs. */
  readonly commanded = new Commanded()
  /** Runs whose effects are under way. */
  readonly underWay = new Set<string>()
  /** Users who had trouble of their own at any time, and those of them none of whose events were taken. */
  readonly troubled = new Set<Identity.UserId>()
  readonly ailed = new Set<Identity.UserId>()
  /** Whether the broker refused everybody's events, or died of them, at any time. */
  hasRefusedAll = false
  private readonly clock: Clock.Clock
  private readonly wall: WallClock["Service"]
  private readonly plant: Plant
  private readonly ailing = new Map<Identity.UserId, Ailment>()
  private current: Process | undefined
  /** The lives that were closed in good order. */
  readonly closed = new Set<number>()
  private readonly scope: Scope.Scope
  private brokerFault: Fault.Fault = "ok"
  private readonly channelFaults: Record<string, Fault.Fault> = {}
  private lives = 0
  private ticks = 0
  private callers: Array<Fiber.Fiber<unknown, unknown>> = []
  private programs: Array<Fiber.Fiber<unknown, unknown>> = []

  private constructor(
    setting: Setting,
    scope: Scope.Scope,
    users: ReadonlyArray<Identity.UserId>,
    logs: Logs,
    spooled: Spooled,
    leases: LeaseRegistry,
    devices: ReadonlyArray<Device>,
    time: { readonly clock: Clock.Clock; readonly wall: WallClock["Service"] },
    plant: Plant
  ) {
    this.clock = time.clock
    this.wall = time.wall
    this.plant = plant
    this.setting = setting
    this.scope = scope
    this.users = users
    this.logs = logs
    this.spooled = spooled
    this.leases = leases
    this.devices = devices
  }

  static make = Effect.fnUntraced(function*(setting: Setting, seed: number, plant: Plant = (broker) => broker) {
    const scope = yield* Effect.scope
    const memory = Context.get(yield* Layer.build(Broker.layerMemory({ maxEvents: setting.retained })), Broker.Broker)
    const logs = new Logs(memory)
    const spooled = new Spooled(yield* MemorySpoolStore.make({ maxEvents: setting.spoolEvents }))
    const leases = yield* LeaseRegistry.make(`${leaseMs} millis`, logs.broker)
    const patience = { bytes: Infinity, ms: Infinity }
    const hub = yield* Hub.make({
      perUser: 10,
      perNode: 100,
      maxFrameBytes: 2048,
      slow: { volatile: patience, batched: patience, close: patience },
      backlog: { perConnection: Infinity, perNode: Infinity },
      degradedMs: Infinity
    }).pipe(Effect.provideService(Broker.Broker, memory))
    const users = Array.from({ length: setting.users }, (_, index) => Identity.UserId.make(`user${index}`))
    const devices = yield* Effect.forEach(
      users,
      (user, index) => Device.make({ hub, user, seed: seed * 10 + index, room: setting.room })
    )
    const time = { clock: yield* Clock.Clock, wall: yield* WallClock }
    const world = new World(setting, scope, users, logs, spooled, leases, devices, time, plant)
    yield* world.start
    return world
  })

  /** The number of the process that lives now. */
  get life(): number {
    return this.process.number
  }

  private get process(): Process {
    return this.current ?? broken("simulation", "no process runs")
  }

  /** Does one step, and lets everything that can go on at this time go on. */
  readonly step = (step: Step): Effect.Effect<void> => Effect.andThen(Effect.suspend(() => this.act(step)), this.settle)

  /**
   * All is well from now on: the broker is back, devices are connected, and time passes until nothing is left to do. Users
   * who are in trouble stay there until everybody else has recovered.
   */
  readonly recover: Effect.Effect<void> = Effect.gen({ self: this }, function*() {
    this.brokerFault = "ok"
    this.leases.isAway = false
    this.channelFaults["spool"] = "ok"
    this.channelFaults["push"] = "ok"
    // A call that hangs holds its user's turn until its layer closes.
    yield* this.restart
    yield* this.drained(40, (user) => !this.troubled.has(user))
    for (const [user, events] of this.spooled.held) {
      if (this.troubled.has(user) || events.every(({ id }) => this.letters.has(id))) continue
      broken("P12", `${events.length} events of ${user} stay in the spool beside ${[...this.troubled].join(" and ")}`)
    }
    this.ailing.clear()
    yield* this.drained(160, () => true)
    // Until the leases of all who died have run out, and a process has been there for long enough to say so.
    yield* TestClock.adjust(`${3 * leaseMs} millis`)
    for (let round = 0; round < 60; round++) {
      for (const device of this.devices) {
        device.receive()
        device.handle()
        device.tick()
      }
      yield* TestClock.adjust(round < 20 ? "1 second" : "5 seconds")
      if (this.devices.every((device) => device.isUpToDate(this.logs.of(device.user).length))) break
    }
    yield* this.settle
  })

  /** Lets time pass until nothing is spooled of these users, or for so many rounds. */
  private drained(rounds: number, isMeant: (user: Identity.UserId) => boolean): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      for (let round = 0; round < rounds; round++) {
        yield* TestClock.adjust("250 millis")
        if ([...this.spooled.held].every(([user, events]) => !isMeant(user) || events.length === 0)) return
      }
    })
  }

  readonly restart: Effect.Effect<void> = Effect.gen({ self: this }, function*() {
    yield* this.shut
    yield* this.start
  })

  /** Closes the layer as a program does that ends in good order. */
  private readonly shut: Effect.Effect<void> = Effect.gen({ self: this }, function*() {
    const { process } = this
    const closing = yield* Effect.forkIn(Scope.close(process.scope, Exit.void), this.scope, { startImmediately: true })
    // What is kept at the end takes its time too.
    const patienceMs = closeTimeoutMs + this.setting.users * 100 + 200
    for (let waited = 0; closing.pollUnsafe() === undefined; waited += 10) {
      if (waited > patienceMs) broken("P7", `closing takes longer than ${patienceMs} ms`)
      yield* TestClock.adjust("10 millis")
    }
    yield* this.settle
    yield* this.noteLetters
    process.closed = true
    this.closed.add(process.number)
  })

  /** How its engine is. */
  readonly load: Effect.Effect<Load> = Effect.suspend(() => {
    const { emitters, isBrokerTroubled } = this.process
    return Effect.map(emitters.stats, (stats) => ({
      pending: stats.pending,
      inFlight: inFlightOf(stats),
      openings: isBrokerTroubled ? 0 : stats.delivery.breakerOpenings["broker"] ?? 0
    }))
  })

  private readonly noteLetters: Effect.Effect<void> = Effect.suspend(() =>
    Effect.map(this.process.letters.list(), (letters) => {
      for (const { event, trigger, user } of letters) {
        if (this.letters.has(event.id)) continue
        const letter = seen(user, event)
        if (trigger === "refused" || trigger === "defect") this.checkRefused(letter)
        this.letters.set(event.id, letter)
        for (const tag of letter.tags) {
          const emission = this.emissions.get(tag)
          if (emission !== undefined) emission.mayBeLate = true
        }
      }
    })
  )

  /** Only what nobody would take is given up. */
  private checkRefused({ tags, type, user }: Seen): void {
    if (this.hasRefusedAll || this.ailed.has(user)) return
    const isToBlame = tags.some((tag) => isPoison(this.emissions.get(tag) ?? broken("P1", `nobody emitted ${tag}`)))
    if (!isToBlame) broken("P12", `${type} ${tags.join()} of ${user} is given up, though it is no poison`)
  }

  private readonly settle: Effect.Effect<void> = Effect.gen({ self: this }, function*() {
    yield* TestClock.adjust(0)
    yield* this.noteLetters
    yield* this.noteDrops
  })

  private readonly noteDrops: Effect.Effect<void> = Effect.suspend(() => {
    const { process } = this
    return Effect.map(process.emitters.stats, ({ dropped }) => {
      const events = dropped.overflow + dropped.closed - process.dropped
      if (events > 0) this.drops.push({ life: process.number, at: ++this.ticks, events })
      process.dropped += events
    })
  })

  private readonly start: Effect.Effect<void> = Effect.gen({ self: this }, function*() {
    const { setting } = this
    const life = {
      number: ++this.lives,
      alive: true,
      closed: false,
      outstanding: new Map<Identity.UserId, number>(),
      elsewhere: 0,
      isBrokerTroubled: kindOf(this.brokerFault) !== "ok",
      troubled: new Set(this.ailing.keys())
    }
    const scope = yield* Scope.make()
    const broker = yield* Scope.provide(this.brokerOf(life), scope)
    const channels = yield* Effect.forEach(setting.channels, (name) => this.channelOf(name, life))
    const engine = EmitterLayer({
      batching: {
        maxDelay: "20 millis",
        maxSize: 4,
        maxBytes: 1000,
        capacity: setting.capacity,
        capacityBytes: 4000,
        overflow: setting.overflow
      },
      retry: { attempts: setting.attempts, base: "5 millis", cap: "10 millis" },
      breaker: { failures: 2, openFor: "200 millis", maxOpenFor: "800 millis" },
      cancelTimeout: "300 millis",
      closeTimeout: `${closeTimeoutMs} millis`
    }).pipe(
      FallbackChannel.provide(...channels.map((_) => Effect.succeed(_))),
      Layer.provide(Layer.succeed(Broker.Broker, broker))
    )
    const context = yield* Effect.orDie(Layer.buildWithScope(engine, scope))
    this.current = Object.assign(life, {
      scope,
      emitters: Context.get(context, Emitters),
      letters: Context.get(context, DeadLetters.DeadLetters),
      open: new Map<string, OpenEmitter>(),
      inRun: new Map<string, Emitter.Emitter["Service"]>(),
      dropped: 0
    })
    for (const user of this.users.keys()) yield* this.open(user, 0, true)
  })

  private brokerOf(
    life: Life & Pick<Process, "outstanding">
  ): Effect.Effect<Broker.Broker["Service"], never, Scope.Scope> {
    const reached = this.logs.reachedBy(life)
    if (this.setting.direct) return Effect.succeed(this.plant(reached))
    return Effect.gen({ self: this }, function*() {
      const leased = yield* this.leases.process({
        name: `life${life.number}`,
        broker: reached,
        guard: (effect) =>
          Effect.suspend(() => {
            if (life.closed) broken("P7", "a closed layer keeps its lease")
            return life.alive ? effect : Effect.never
          })
      })
      const { broker, controls } = yield* TestBroker.make(leased)
      yield* controls.behave((call) => this.behaviourFor(call))
      const planted = this.plant(broker)
      const add = (user: Identity.UserId, by: number) => {
        life.outstanding.set(user, (life.outstanding.get(user) ?? 0) + by)
      }
      return {
        ...planted,
        append: (user, batch) =>
          Effect.suspend(() => {
            if (!life.alive) return Effect.never
            add(user, 1)
            return Effect.onExit(planted.append(user, batch), () => Effect.sync(() => add(user, -1)))
          })
      }
    })
  }

  /** A user's trouble shows only while the broker answers. */
  private behaviourFor({ batch, user }: TestBroker.Call): Fault.Fault {
    const general = this.brokerFault
    const ailment = this.ailing.get(user) ?? (hasPoison(batch) ? "reject" : undefined)
    if (ailment === undefined || kindOf(general) !== "ok") return general
    const own = ailments[ailment]
    const after = delayOf(general) + delayOf(own)
    return after === 0 ? own : { after, do: kindOf(own) }
  }

  private channelOf(name: "push" | "spool", life: Life): Effect.Effect<FallbackChannel.FallbackChannel> {
    const inner = name === "spool" ? Spool.make(this.spooled.reachedBy(life)) : this.push(life)
    return Effect.tap(
      TestChannel.make(name, inner),
      ({ behave }) => behave(() => this.channelFaults[name] ?? "ok")
    )
  }

  private push(life: Life): FallbackChannel.FallbackChannel {
    return {
      name: "push",
      deliver: (user, batch) =>
        Effect.suspend(() => {
          if (!life.alive) return Effect.never
          this.pushed.push(...batch.map((envelope) => seen(user, envelope)))
          return Effect.void
        })
    }
  }

  private act(step: Step): Effect.Effect<void> {
    switch (step._tag) {
      case "emit":
        return this.emitStep(step.user, step.emitter, step.kind, step.held)
      case "flood":
        return Effect.forEach(
          Array.from({ length: step.events }, (_, index) => index % 2 === 0 ? "critical" as const : "batched" as const),
          (kind) => this.emitStep(step.user, step.emitter, kind),
          { discard: true }
        )
      case "interrupt":
        return this.interrupt(this.callers, step.back)
      case "run":
        return this.runStep(step)
      case "cancel":
        return this.interrupt(this.programs, step.back)
      case "command":
        return this.commandStep(step)
      case "open":
        return this.open(step.user, step.emitter, step.ownRun)
      case "close":
        return this.closeEmitter(`${step.user} ${step.emitter}`)
      case "broker":
        return Effect.sync(() => {
          this.brokerFault = step.behave
          this.leases.isAway = isAway(step.behave)
          const kind = kindOf(step.behave)
          if (kind !== "ok") this.process.isBrokerTroubled = true
          if (kind === "refuse" || kind === "die") this.hasRefusedAll = true
        })
      case "ail":
        return Effect.sync(() => this.ail(step.user, step.ailment))
      case "channel":
        return Effect.sync(() => {
          this.channelFaults[step.name] = step.behave
        })
      case "pass":
        return TestClock.adjust(step.ms)
      case "clock":
        return this.wall.step(step.ms)
      case "receive":
        return this.onDevice(step.device, (device) => device.receive(step.messages))
      case "handle":
        return this.onDevice(step.device, (device) => device.handle())
      case "cut":
        return this.onDevice(step.device, (device) => device.cut())
      case "replay":
        return this.replay
      case "restart":
        return this.restart
      case "die":
        return Effect.suspend(() => {
          // The process is gone: its fibers reach nothing any more, and nobody closes anything.
          this.process.alive = false
          return this.start
        })
    }
  }

  private ail(index: number, ailment: Ailment | "none"): void {
    const user = this.users[index]
    if (user === undefined) return
    if (ailment === "none") return void this.ailing.delete(user)
    this.ailing.set(user, ailment)
    this.ailed.add(user)
    this.trouble(user)
  }

  private trouble(user: Identity.UserId): void {
    this.troubled.add(user)
    this.process.troubled.add(user)
  }

  private onDevice(index: number, act: (device: Device) => void): Effect.Effect<void> {
    return Effect.sync(() => {
      const device = this.devices[index]
      if (device === undefined) return
      device.tick()
      act(device)
    })
  }

  private interrupt(fibers: Array<Fiber.Fiber<unknown, unknown>>, back: number): Effect.Effect<void> {
    const fiber = fibers.filter((fiber) => fiber.pollUnsafe() === undefined).at(-1 - back)
    return fiber === undefined ? Effect.void : Effect.asVoid(this.fork(Fiber.interrupt(fiber)))
  }

  private readonly fork = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.forkIn(effect, this.scope, { startImmediately: true })

  private readonly replay: Effect.Effect<void> = Effect.suspend(() => {
    const { process } = this
    process.elsewhere++
    const replaying = Effect.onExit(process.letters.replay(), () => Effect.sync(() => process.elsewhere--))
    return Effect.asVoid(this.fork(replaying))
  })

  private open(user: number, emitter: number, ownRun: boolean): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const { process } = this
      const key = `${user} ${emitter}`
      const userId = this.users[user]
      if (userId === undefined || process.open.has(key)) return
      const scope = yield* Scope.make()
      const runId = ownRun ? { runId: `r${++this.ticks}` } : {}
      const service = yield* Effect.orDie(Scope.provide(process.emitters.forUser({ userId, ...runId }), scope))
      process.open.set(key, { service, scope })
    })
  }

  private closeEmitter(key: string): Effect.Effect<void> {
    const { process } = this
    const open = process.open.get(key)
    if (open === undefined) return Effect.void
    process.open.delete(key)
    return Effect.asVoid(this.fork(Scope.close(open.scope, Exit.void)))
  }

  private emitStep(user: number, emitter: number, kind: Kind, held = false): Effect.Effect<void> {
    const key = `${user} ${emitter}`
    const { process } = this
    const { inRun, open } = process
    const service = inRun.get(key) ?? open.get(key)?.service
    if (service === undefined) return Effect.void
    return Effect.gen({ self: this }, function*() {
      const emitting = this.emit(process, service, kind, held)
      const fiber = yield* this.fork(held ? Effect.uninterruptible(emitting) : emitting)
      this.callers = [...this.callers.filter((caller) => caller.pollUnsafe() === undefined), fiber]
    })
  }

  /** Emits one event and notes what became of it; what is critical must be in the log at once when nothing is in its way. */
  private emit(
    process: Process,
    service: Emitter.Emitter["Service"],
    kind: Kind,
    held = false
  ): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      if (!process.alive) return yield* Effect.never
      const user = service.context.userId
      if (isPoison({ kind })) this.trouble(user)
      const emission: Emission = {
        tag: this.emissions.size + 1,
        user,
        life: process.number,
        run: service.context.runId,
        kind,
        from: ++this.ticks,
        by: Infinity,
        accepted: "unknown",
        outcome: undefined,
        channel: undefined,
        mayBeLate: kind === "confirmed",
        due: undefined
      }
      const mayBeOvertaken = [...this.emissions.values()].some((other) =>
        other.life === process.number && other.accepted === "unknown" && other.outcome === undefined
      )
      const free = yield* this.isFree(process, user)
      const quiet = this.isQuiet(process, user)
      const before = yield* acceptedBy(process)
      this.emissions.set(emission.tag, emission)
      const event = eventOf(kind, emission.tag)
      const emitting = kind === "confirmed" ? confirmed(process, service, event) : service.emit(event)
      const noted = Effect.onExit(
        emitting,
        (exit) => Effect.sync(() => process.alive ? this.note(emission, exit) : undefined)
      )
      const fiber = yield* Effect.forkChild(held ? Effect.uninterruptible(noted) : noted, { startImmediately: true })
      if (!mayBeOvertaken && emission.accepted === "unknown" && (yield* acceptedBy(process)) > before) {
        emission.accepted = true
        emission.by = ++this.ticks
      }
      if (free && isCritical(emission) && emission.accepted === true) {
        // Where its receipt says that it is there, and it is not, that is another matter.
        if (!this.isInLog(emission) && emission.outcome !== "Appended") {
          broken("P6", `the critical event ${emission.tag} waits though nothing is in its way`)
        }
        if (emission.outcome === undefined && kind !== "confirmed") broken("P6", `emit of ${emission.tag} waits`)
      }
      if (quiet && isCritical(emission) && emission.accepted === true) {
        emission.due = Monotonic.millisUnsafe(this.clock) + delayOf(this.brokerFault)
      }
      yield* Fiber.await(fiber)
    })
  }

  private isInLog({ tag, user }: Emission): boolean {
    return this.logs.of(user).some(({ tags }) => tags.includes(tag))
  }

  /** The critical events that are due in their log, and are kept from it by nothing but what is others' trouble. */
  get heldBack(): ReadonlyArray<Emission> {
    const now = Monotonic.millisUnsafe(this.clock)
    return [...this.emissions.values()].filter((emission) =>
      emission.due !== undefined && emission.due <= now && emission.life === this.life && !this.isInLog(emission)
    )
  }

  private note(emission: Emission, exit: Exit.Exit<Emitter.Receipt, Emitter.EmitError>): void {
    if (Exit.isSuccess(exit)) {
      const receipt = exit.value
      emission.outcome = receipt._tag
      if (receipt._tag === "HandedOver") emission.channel = receipt.channel
      const isDropped = receipt._tag === "Dropped" && receipt.reason === "overBudget"
      emission.accepted = !isDropped
    } else {
      const failure = Exit.findErrorOption(exit)
      if (Option.isNone(failure)) {
        if (Exit.hasDies(exit)) broken("simulation", `emit of ${emission.tag} died: ${String(exit.cause)}`)
        emission.outcome = "interrupted"
        return
      }
      const isConfirming = failure.value.reason._tag === "NotConfirmed"
      emission.outcome = isConfirming ? "notConfirmed" : "refused"
      emission.accepted = isConfirming
    }
    if (emission.by === Infinity) emission.by = ++this.ticks
  }

  /** Whether an event of this user could be appended at once. */
  private readonly isFree = (process: Process, user: Identity.UserId): Effect.Effect<boolean> =>
    Effect.map(process.emitters.stats, (stats) => {
      const spooled = this.spooled.held.get(user)?.length ?? 0
      return inFlightOf(stats) === 0 && stats.breaker === "closed" && total(process.outstanding) === 0 &&
        process.elsewhere === 0 && !process.troubled.has(user) &&
        spooled === 0 && (this.setting.direct || this.brokerFault === "ok")
    })

  /** Whether nothing but the trouble of others could keep an event of this user from being appended now. */
  private isQuiet(process: Process, user: Identity.UserId): boolean {
    return !process.isBrokerTroubled && !process.troubled.has(user) && process.elsewhere === 0 &&
      (process.outstanding.get(user) ?? 0) === 0 && (this.spooled.held.get(user)?.length ?? 0) === 0
  }

  /** Whether nothing at all keeps what the user's runs do from being done at once. */
  isUndisturbed(user: Identity.UserId): boolean {
    return this.brokerFault === "ok" && this.isQuiet(this.process, user)
  }

  private commandStep(step: Extract<Step, { readonly _tag: "command" }>): Effect.Effect<void> {
    const user = this.users[step.user]
    const { commands } = this.logs.broker
    if (user === undefined || commands === undefined) return Effect.void
    return Effect.asVoid(this.fork(this.commanded.ask(commands, { ...step, user })))
  }

  private runStep(step: Extract<Step, { readonly _tag: "run" }>): Effect.Effect<void> {
    const key = `${step.user} ${step.emitter}`
    const { process } = this
    const service = process.open.get(key)?.service
    if (service === undefined) return Effect.void
    const noteRun = Effect.gen({ self: this }, function*() {
      const child = yield* Emitter.Emitter
      const id = child.context.runId ?? broken("P8", "a run has no id")
      if (this.runs.has(id)) broken("P8", `two runs are called ${id}`)
      this.runs.set(id, process.number)
      return child
    })
    const half = Effect.sleep(step.lasts / 2)
    const nested = Emitter.run({ agentName: "nested" })(Effect.andThen(noteRun, half))
    let outer: string | undefined
    const { asks = false, held = false, isProtected = false } = step
    const program = Effect.gen({ self: this }, function*() {
      const child = yield* noteRun
      outer = child.context.runId
      if (outer !== undefined) {
        this.underWay.add(outer)
        this.commanded.begin({ user: child.context.userId, run: outer, isProtected })
        if (asks) yield* this.commanded.within(outer)
      }
      process.inRun.set(key, child)
      yield* Effect.exit(this.emit(process, child, "thinking"))
      if (step.nested) yield* Effect.exit(nested)
      const looking = Effect.suspend(() => {
        if (outer !== undefined && process.alive) this.commanded.beginsTool(outer)
        return half
      })
      yield* Effect.exit(child.tool("look", null)(looking))
      yield* half
      if (step.ending === "byHand") {
        yield* Effect.exit(
          child.emit(AgentEvents.AgentError.make({ reason: "failed", message: "by hand", retryable: false }))
        )
      }
      if (step.ending === "fail") return yield* Effect.fail("no")
      if (step.ending === "die") return yield* Effect.die(new Error("a bug in the agent"))
      if (step.ending === "never") return yield* Effect.never
    })
    const timed = step.timeout === undefined ? program : Effect.timeout(program, step.timeout)
    const options = { agentName: "agent", cancellable: !isProtected, ...(asks ? { commands: [Steer] } : {}) }
    const running = service.run(timed, options).pipe(
      Effect.onExit(() =>
        Effect.sync(() => {
          process.inRun.delete(key)
          if (outer === undefined || !process.alive) return
          this.finished.add(outer)
          this.underWay.delete(outer)
        })
      )
    )
    return Effect.gen({ self: this }, function*() {
      this.mayHaveBegun += step.nested ? 2 : 1
      // A request may be owed its end as well.
      this.mayHaveCalled += asks ? 2 : 1
      const fiber = yield* this.fork(held ? Effect.uninterruptible(running) : running)
      this.programs = [...this.programs.filter((program) => program.pollUnsafe() === undefined), fiber]
    })
  }
}
