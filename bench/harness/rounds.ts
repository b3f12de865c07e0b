/**
 * Runs contestants in turn, A B C A B C …, so that all of them meet the same machine.
 */
import type { Figure, Settings } from "./question.ts"
import { summarize } from "./statistics.ts"

/**
 * Does its work once and returns one measurement. `round` is negative while warming up.
 */
export type Contestant = (round: number) => Promise<number>

/**
 * Collects garbage now, so that no contestant pays for what another left behind.
 */
export const collectGarbage = (): void => {
  if (globalThis.gc === undefined) throw new Error("start Node with --expose-gc")
  globalThis.gc()
}

export const interleave = async <Name extends string>(
  contestants: Record<Name, Contestant>,
  unit: Figure["unit"],
  options: { readonly rounds: number; readonly warmUps: number },
  settings: Settings
): Promise<Record<Name, Figure>> => {
  const names = Object.keys(contestants) as Array<Name>
  const samples = new Map<Name, Array<number>>(names.map((name) => [name, []]))
  for (let round = -options.warmUps; round < options.rounds; round++) {
    for (const name of names) {
      settings.progress(round < 0 ? `warming up: ${name}` : `round ${round + 1} of ${options.rounds}: ${name}`)
      collectGarbage()
      const sample = await contestants[name](round)
      if (!Number.isFinite(sample)) throw new Error(`${name} measured ${sample}`)
      if (round >= 0) samples.get(name)?.push(sample)
    }
  }
  const figures = names.map((name): [Name, Figure] => [
    name,
    { contestant: name, unit, value: summarize(samples.get(name) ?? []) }
  ])
  return Object.fromEntries(figures) as Record<Name, Figure>
}

/**
 * How many rounds a question takes.
 */
export const roundsFor = (settings: Settings) => settings.quick ? { rounds: 5, warmUps: 3 } : { rounds: 7, warmUps: 2 }
