/**
 * Counts what devices got of numbered events: what came, what came twice, and what came after a later one.
 */

export interface Counts {
  readonly delivered: number
  readonly doubled: number
  readonly outOfOrder: number
  /** How long each event was on its way, in seconds, when it came first. */
  readonly latencies: ReadonlyArray<number>
}

interface Seen {
  readonly steps: Set<number>
  highest: number
}

export class Tally {
  private readonly devices = new Map<number, Seen>()
  private from = 0
  private delivered = 0
  private doubled = 0
  private outOfOrder = 0
  private latencies: Array<number> = []

  /** Counts anew, events from this one on. What comes again of those before is still doubled. */
  begin(from: number): void {
    this.from = from
    this.delivered = 0
    this.doubled = 0
    this.outOfOrder = 0
    this.latencies = []
  }

  add(device: number, step: number, latency: number): void {
    const seen = this.devices.get(device) ?? { steps: new Set(), highest: -1 }
    this.devices.set(device, seen)
    if (seen.steps.has(step)) {
      this.doubled++
      return
    }
    seen.steps.add(step)
    const isLate = step < seen.highest
    seen.highest = Math.max(seen.highest, step)
    // It was missing when its round was counted, and stays so.
    if (step < this.from) return
    this.delivered++
    if (isLate) this.outOfOrder++
    this.latencies.push(latency)
  }

  counts(): Counts {
    const { delivered, doubled, latencies, outOfOrder } = this
    return { delivered, doubled, outOfOrder, latencies }
  }
}
