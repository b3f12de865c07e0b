/**
 * The promises, checked against what is known after each step. Every check is a plain look at facts: what was emitted,
 * where it was seen, and what devices were handed.
 */
import type { Identity } from "../../src/index.ts"
import { broken, type Emission, isCritical, type Logged, merges, type Seen } from "./Facts.ts"
import { firstUnaccounted } from "./Losses.ts"
import type { Load, World } from "./World.ts"

const isEnding = (type: string): boolean => type === "agent_completed" || type === "agent_error"

/** Of the kinds of events that may be dropped, those whose losses can be told from one another. */
const mayBeDropped = ({ kind }: Emission): boolean => kind === "batched" || kind === "text" || kind === "poisonBatched"

/** How far a device's items were looked at. */
interface Watched {
  items: number
  offset: number
  readonly ids: Set<string>
}

export class Promises {
  private readonly world: World
  private readonly watched: ReadonlyArray<Watched>
  private readonly scanned = new Map<Identity.UserId, number>()
  private readonly ids = new Map<string, Logged>()
  private readonly taken = new Set<number>()
  private readonly order = new Map<Identity.UserId, { latest: number; latestUnmerged: number }>()
  private readonly endings = new Map<string, { readonly ofProgram: Set<string>; readonly ofBroker: Set<string> }>()
  private readonly started = new Set<string>()
  private readonly endedInLog = new Set<string>()
  private readonly startedInLog = new Map<string, Identity.UserId>()

  constructor(world: World) {
    this.world = world
    this.watched = world.devices.map(() => ({ items: 0, offset: 0, ids: new Set() }))
  }

  /** Holds after every step. */
  check({ inFlight, openings, pending }: Load): void {
    const { world } = this
    for (const user of world.users) this.checkLog(user)
    for (const events of world.spooled.held.values()) events.forEach((event) => this.checkSeen(event))
    for (const event of [...world.pushed, ...world.letters.values()]) this.checkSeen(event)
    this.checkDevices()
    this.checkKept()
    this.checkEndings(inFlight === 0 && pending === 0)
    world.commanded.check(
      (run) => world.underWay.has(run) && world.runs.get(run) === world.life,
      (user) => inFlight === 0 && world.isUndisturbed(user)
    )
    const { capacity, users } = world.setting
    // The endings of runs and of tool calls need no room.
    const owed = world.mayHaveBegun + world.mayHaveCalled
    if (pending > users * capacity + owed) broken("P5", `${pending} events are pending`)
    if (openings > 0) broken("P12", "the broker's breaker has opened, though only single users are in trouble")
    const [late] = world.heldBack
    if (late !== undefined) broken("P12", `the critical event ${late.tag} of ${late.user} waits for others`)
  }

  /** Holds once everything has recovered and nothing is left to do. */
  checkAtRest(): void {
    const { world } = this
    for (const [index, device] of world.devices.entries()) {
      const log = world.logs.of(device.user)
      if (!device.isUpToDate(log.length)) {
        broken(
          "P3",
          `device ${index} of ${device.user} is ${device.status.state} at ${device.position?.offset}, the log ends at ${log.length}`
        )
      }
      const kept = world.logs.kept(device.user)
      if (kept > world.setting.retained) broken("P5", `the log of ${device.user} keeps ${kept} events`)
    }
    for (const [run, user] of world.setting.direct ? [] : this.startedInLog) {
      const isEnded = world.logs.of(user).some((event) => event.run === run && isEnding(event.type))
      if (world.runs.get(run) !== world.life && !isEnded) {
        broken("P8", `run ${run} is in the log of ${user} without an ending, though its process is gone`)
      }
    }
    for (const [user, events] of world.spooled.held) {
      // A replay that was under way when its layer closed may have put something there that nobody wakes the drainer for.
      const left = events.filter((event) => !world.letters.has(event.id))
      if (left.length > 0) broken("P3", `${left.length} events of ${user} stay in the spool though all is well`)
    }
  }

  private checkLog(user: Identity.UserId): void {
    const log = this.world.logs.of(user)
    const order = this.order.get(user) ?? { latest: -1, latestUnmerged: -1 }
    this.order.set(user, order)
    for (let index = this.scanned.get(user) ?? 0; index < log.length; index++) {
      const event = log[index] ?? broken("simulation", "an event is missing from the record")
      if (event.offset !== index + 1) broken("P2", `offset ${event.offset} of ${user} stands at place ${index + 1}`)
      this.checkSeen(event)
      this.checkOnce(event)
      this.checkOrder(event, order)
      if (event.run !== undefined && event.isLost) this.checkLost(event.run)
      if (event.run !== undefined && event.type === "agent_started") this.startedInLog.set(event.run, user)
      if (event.run !== undefined && !this.mayBeLate(event)) {
        if (this.endedInLog.has(event.run)) broken("P8", `${event.type} follows the end of run ${event.run}`)
        if (isEnding(event.type)) this.endedInLog.add(event.run)
      }
    }
    this.scanned.set(user, log.length)
  }

  /** Nobody is taken for dead who lives. */
  private checkLost(run: string): void {
    const { life, runs } = this.world
    if (runs.get(run) === life) broken("P8", `run ${run} was ended as lost, though its process lives`)
  }

  // Dead letters may be replayed at any time, and an event that asks for confirmation is tried again.
  private mayBeLate(event: Seen): boolean {
    return this.world.letters.has(event.id) || event.tags.some((tag) => this.emissionOf(event, tag).mayBeLate)
  }

  private emissionOf(event: Seen, tag: number): Emission {
    return this.world.emissions.get(tag) ?? broken("P1", `${event.type} carries ${tag}, which nobody emitted`)
  }

  /** Wherever an event is seen, it is one of its user, and one that was accepted. */
  private checkSeen(event: Seen): void {
    for (const tag of event.tags) {
      const emission = this.emissionOf(event, tag)
      if (emission.user !== event.user) broken("P1", `${tag} of ${emission.user} is among the events of ${event.user}`)
      if (emission.accepted === false) broken("P3", `${tag} was refused, and is delivered all the same`)
    }
    const { id, run, type } = event
    if (run === undefined) return
    if (type === "agent_started") this.started.add(run)
    if (!isEnding(type)) return
    const endings = this.endings.get(run) ?? { ofProgram: new Set(), ofBroker: new Set() }
    if (event.isLost) endings.ofBroker.add(id)
    else endings.ofProgram.add(id)
    this.endings.set(run, endings)
  }

  private checkOnce(event: Logged): void {
    const earlier = this.ids.get(event.id)
    if (earlier !== undefined) {
      broken("P4", `${event.id} is in the log twice, as ${earlier.offset} and ${event.offset}`)
    }
    for (const tag of event.tags) {
      if (this.taken.has(tag)) broken("P4", `${tag} is in the log twice`)
      this.taken.add(tag)
    }
    this.ids.set(event.id, event)
  }

  /** Nothing stands behind what was emitted after it; only what is merged may move forward, and over nothing critical. */
  private checkOrder(event: Logged, order: { latest: number; latestUnmerged: number }): void {
    for (const tag of event.tags) {
      const emission = this.emissionOf(event, tag)
      if (emission.mayBeLate) continue
      const limit = isCritical(emission) ? order.latest : order.latestUnmerged
      if (emission.by < limit) broken("P2", `${tag} stands behind an event that was emitted later`)
    }
    let last = 0
    for (const tag of event.tags) {
      if (tag <= last && !this.overlap(tag, last)) broken("P2", `${last} and ${tag} are merged in the wrong order`)
      last = tag
      const emission = this.emissionOf(event, tag)
      if (emission.mayBeLate) continue
      order.latest = Math.max(order.latest, emission.from)
      if (!merges(emission)) order.latestUnmerged = Math.max(order.latestUnmerged, emission.from)
    }
  }

  // Whether two may have been accepted in either order, as when one of them waited for room.
  private overlap(a: number, b: number): boolean {
    const [first, second] = [this.world.emissions.get(a), this.world.emissions.get(b)]
    return first !== undefined && second !== undefined && first.by >= second.from && second.by >= first.from
  }

  /** Each device gets what the log has, every offset once and in order, or is told what is missing. */
  private checkDevices(): void {
    for (const [index, device] of this.world.devices.entries()) {
      const watched = this.watched[index]
      if (watched === undefined) continue
      if (device.overrun) broken("P5", `the hub writes to a device of ${device.user} though its wire is full`)
      const log = this.world.logs.of(device.user)
      for (; watched.items < device.items.length; watched.items++) {
        const item = device.items[watched.items]
        if (item?._tag === "Gap") {
          if (item.from > watched.offset + 1) {
            broken("P2", `a device misses what is before ${item.from}, and is not told`)
          }
          watched.offset = Math.max(watched.offset, item.to)
        }
        if (item?._tag !== "Event") continue
        const { id, offset } = item.event
        if (watched.ids.has(id)) broken("P4", `a device is handed ${id} twice`)
        watched.ids.add(id)
        if (offset !== watched.offset + 1) broken("P2", `a device is handed ${offset} after ${watched.offset}`)
        watched.offset = offset
        const owner = this.ids.get(id)?.user
        if (owner !== device.user) broken("P1", `a device of ${device.user} is handed an event of ${owner}`)
        if (log[offset - 1]?.id !== id) broken("P2", `a device is handed ${id} as ${offset}, the log has another there`)
      }
      const { acknowledged } = device
      if (acknowledged !== undefined && acknowledged.offset > watched.offset) {
        broken("P4", `a device acknowledges ${acknowledged.offset}, and was handed ${watched.offset}`)
      }
    }
  }

  /** What was accepted is where its receipt says, or at least somewhere once its layer was closed. */
  private checkKept(): void {
    const { world } = this
    const spooled = new Set([...world.spooled.held.values()].flat().flatMap(({ tags }) => tags))
    const pushed = new Set(world.pushed.flatMap(({ tags }) => tags))
    const letters = new Set([...world.letters.values()].flatMap(({ tags }) => tags))
    const lost: Array<Emission> = []
    for (const emission of world.emissions.values()) {
      const { accepted, channel, life, outcome, tag } = emission
      if (outcome === undefined && emission.kind !== "confirmed" && world.closed.has(life)) {
        broken("P7", `emit of ${tag} waits though its layer is closed`)
      }
      if (accepted !== true) continue
      const isKept = this.taken.has(tag) || spooled.has(tag) || pushed.has(tag) || letters.has(tag)
      if (isCritical(emission)) {
        switch (outcome) {
          case "Appended":
            if (!this.taken.has(tag)) broken("P3", `${tag} is said to be appended, and is not in the log`)
            break
          case "HandedOver":
            if (channel === "push" && !pushed.has(tag)) broken("P3", `${tag} is said to be pushed, and is not`)
            if (!isKept) broken("P3", `${tag} was handed over to ${channel}, and is nowhere`)
            break
          case "DeadLettered":
            if (!isKept) broken("P3", `${tag} is said to be a dead letter, and is none`)
            break
          case "Dropped":
          case "Deferred":
            broken("P3", `the critical event ${tag} is said to be ${outcome}`)
        }
        if (!isKept && world.closed.has(life)) {
          broken("P3", `the critical event ${tag} is nowhere after its layer closed`)
        }
      } else if (!isKept && world.closed.has(life) && mayBeDropped(emission)) {
        lost.push(emission)
      }
    }
    const unaccounted = firstUnaccounted(lost, world.emissions.values(), world.drops)
    if (unaccounted !== undefined) {
      const { drops, tags } = unaccounted
      broken("P3", `${tags.join(", ")} are nowhere, and ${drops} drops were counted after they were emitted`)
    }
  }

  /** A run has at most one ending; one that began in a process that did not die has one once its layer was closed. */
  private checkEndings(isQuiet: boolean): void {
    const { world } = this
    // That an ending of the broker and one of the program are not both in the log is seen there.
    for (const [run, { ofBroker, ofProgram }] of this.endings) {
      if (ofProgram.size > 1) broken("P8", `run ${run} has ${ofProgram.size} endings: ${[...ofProgram].join(", ")}`)
      if (ofBroker.size > 1) broken("P8", `run ${run} was lost ${ofBroker.size} times: ${[...ofBroker].join(", ")}`)
    }
    for (const run of world.underWay) {
      if (world.closed.has(world.runs.get(run) ?? 0)) {
        broken("P7", `the effect of ${run} goes on after its layer closed`)
      }
    }
    for (const [run, life] of world.runs) {
      if (!world.closed.has(life)) continue
      if (!this.started.has(run)) broken("P3", `the start of run ${run} is nowhere after its layer closed`)
      if (!this.endings.has(run)) broken("P8", `run ${run} has no ending after its layer closed`)
    }
    for (const run of isQuiet ? world.finished : []) {
      const isOfThisLife = world.runs.get(run) === world.life
      if (isOfThisLife && !this.endings.has(run)) {
        broken("P8", `the effect of run ${run} has ended, and the run has not`)
      }
    }
  }
}
