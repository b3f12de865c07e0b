/**
 * Accounts for each loss by a drop of its own: one that was counted in the same life, and not before the lost event was
 * emitted. One counted drop excuses no other loss.
 */
import { type Drop, type Emission, isCritical } from "./Facts.ts"

/** Emissions that stand for one event where they were merged, so that one drop takes them all. */
type Lost = ReadonlyArray<Emission>

/** Losses for which too few drops were counted. */
export interface Unaccounted {
  readonly tags: ReadonlyArray<number>
  readonly drops: number
}

/**
 * Finds losses for which too few drops were counted, if there are any. `all` are the emissions of the world in the order
 * of their tags; what stands between two lost texts tells whether they can have been one event.
 */
export const firstUnaccounted = (
  lost: ReadonlyArray<Emission>,
  all: Iterable<Emission>,
  drops: ReadonlyArray<Drop>
): Unaccounted | undefined => {
  if (lost.length === 0) return undefined
  const events = eventsOf(lost, [...all])
  for (const life of new Set(lost.map((emission) => emission.life))) {
    const ofLife = events.filter((emissions) => emissions[0]?.life === life)
    // From the latest on: as many drops must have come since as events are lost since.
    const latestFirst = ofLife.toSorted((a, b) => lastFrom(b) - lastFrom(a))
    for (const [index, emissions] of latestFirst.entries()) {
      const since = drops
        .filter((drop) => drop.life === life && drop.at >= lastFrom(emissions))
        .reduce((sum, drop) => sum + drop.events, 0)
      if (since <= index) {
        return { tags: latestFirst.slice(0, index + 1).flat().map(({ tag }) => tag), drops: since }
      }
    }
  }
  return undefined
}

const lastFrom = (emissions: Lost): number => Math.max(...emissions.map(({ from }) => from))

// Texts of one run are one event unless something critical of their user, or a text of theirs that was kept, stands between.
const eventsOf = (lost: ReadonlyArray<Emission>, all: ReadonlyArray<Emission>): ReadonlyArray<Lost> => {
  const isLost = new Set(lost)
  const events: Array<Array<Emission>> = []
  const open = new Map<string, Array<Emission>>()
  const keyOf = ({ life, run, user }: Emission) => `${life} ${user} ${run}`
  for (const emission of all) {
    const key = keyOf(emission)
    if (emission.accepted === true && isCritical(emission)) {
      for (const [other, [first]] of open) if (first?.user === emission.user) open.delete(other)
    }
    if (!isLost.has(emission)) {
      if (emission.kind === "text" && emission.accepted === true) open.delete(key)
      continue
    }
    const joined = emission.kind === "text" ? open.get(key) : undefined
    if (joined !== undefined) {
      joined.push(emission)
      continue
    }
    const event = [emission]
    events.push(event)
    if (emission.kind === "text") open.set(key, event)
  }
  return events
}
