/**
 * What the engine counts, one class for each part that counts.
 *
 * Each field has one writer, which is named. Counters are plain numbers that are
 * written in place, so counting costs nothing per event; `Stats` is the view of
 * all of them.
 *
 * @since 0.1.0
 */
/**
 * What was counted of events on their way into users' lists. The acceptor writes
 * it.
 *
 * @category models
 * @since 0.1.0
 */
export class AcceptCounters {
  readonly accepted = new Map<string, { count: number }>()
  readonly rejected = new Map<string, number>()
  merged = 0
  illegal = 0
  overflow = 0
  overBudget = 0
  /** Not a number before the first event. A field that is always a number is written in place, without a new object. */
  lastEventAt = Number.NaN

  /** The counter of one wire name, to be kept by who counts often. */
  acceptedOf(type: string): { count: number } {
    let counter = this.accepted.get(type)
    if (counter === undefined) {
      counter = { count: 0 }
      this.accepted.set(type, counter)
    }
    return counter
  }

  reject(reason: string): void {
    this.rejected.set(reason, (this.rejected.get(reason) ?? 0) + 1)
  }
}

/**
 * What was counted of lists on their way to the broker. The dispatcher writes it.
 *
 * @category models
 * @since 0.1.0
 */
export class DispatchCounters {
  emitters = 0
  batches = 0
  appended = 0
  handedOver = 0
  deadLettered = 0
  nobodyConnected = 0
  waitedMs = 0
}

/**
 * What was counted of runs and tool calls. Their reporter writes it.
 *
 * @category models
 * @since 0.1.0
 */
export class RunCounters {
  unreported = 0
}

/**
 * What was counted of appends. The appender writes it.
 *
 * @category models
 * @since 0.1.0
 */
export class AppendCounters {
  batches = 0
  events = 0
  failures = 0
  retries = 0
}

/**
 * What was counted of what a spool gave back. Its drainer writes it.
 *
 * @category models
 * @since 0.1.0
 */
export class DrainCounters {
  batches = 0
  events = 0
  failures = 0
  lostRuns = 0
}

/**
 * What is counted by name, such as the openings of each breaker. It begins with
 * all names that are known.
 *
 * @category models
 * @since 0.1.0
 */
export class NamedCounter<Name extends string> {
  private readonly counts: Record<Name, number>

  constructor(zeros: Readonly<Record<Name, number>>) {
    this.counts = { ...zeros }
  }

  static of(names: ReadonlyArray<string>): NamedCounter<string> {
    return new NamedCounter(Object.fromEntries(names.map((name) => [name, 0])))
  }

  add(name: Name, by = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + by
  }

  get values(): Readonly<Record<Name, number>> {
    return { ...this.counts }
  }
}

/**
 * What was counted of fallback channels, by channel: events that it took, and
 * batches that it did not take. The fallback routes write it.
 *
 * @category models
 * @since 0.1.0
 */
export class ChannelCounters {
  readonly handedOver: NamedCounter<string>
  readonly failures: NamedCounter<string>

  constructor(channels: ReadonlyArray<string>) {
    this.handedOver = NamedCounter.of(channels)
    this.failures = NamedCounter.of(channels)
  }
}
