/**
 * What a trial came to, as text.
 */
import type { Faults } from "./Chaos.ts"
import type { Broker } from "./settings.ts"
import type { Options, Outcome } from "./Trial.ts"

const count = (n: number) => n.toLocaleString("en")

/** Counts by name, as text. */
export const list = (counts: Readonly<Record<string, number>>) =>
  Object.entries(counts).toSorted(([a], [b]) => a < b ? -1 : 1).map(([name, n]) => `${name} ${count(n)}`).join(", ")

/** How many broken promises are named; the rest is counted. */
const named = 20

/** The report, and how to see it again. */
export const report = (
  options: Options,
  { account, devices: { all, totals } }: Pick<Outcome, "account" | "devices">,
  faults: Faults,
  broker: Broker = "redis"
): string => {
  const { broken } = account
  const processes = broker === "sqlite" ? "one process" : `${options.gateways} gateways, ${options.emitters} emitters`
  return [
    `seed ${options.seed}: ${processes}, ${count(all.length)} devices of ${options.users} users`,
    `faults       ${list(faults)}`,
    `emitted      ${count(account.accepted)} events were accepted, ${
      count(account.inLog)
    } are in the logs (texts are merged)`,
    `runs         ${count(account.runs)}: ${list(account.endings)}`,
    `delivered    ${count(totals.delivered)} events to handlers, over ${count(totals.connections)} connections`,
    `resumed      ${count(totals.resumed)} times, ${count(totals.suppressed)} duplicates suppressed`,
    `gaps         ${count(totals.gaps)}, snapshots ${count(totals.snapshots)}`,
    `commands     ${list(account.commands)}`,
    `confirmed    ${count(account.confirmed)}`,
    `dead letters ${count(account.deadLetters)}, dropped ${count(account.dropped)}`,
    ...broken.length === 0 ? ["promises     all kept"] : [
      `promises     BROKEN ${count(broken.length)} times:`,
      ...broken.slice(0, named).map((what) => `  ${what}`),
      ...broken.length > named ? [`  and ${count(broken.length - named)} more`] : [],
      `to see it again: npm run chaos -- --broker ${broker} --seed ${options.seed}`
    ]
  ].join("\n")
}
