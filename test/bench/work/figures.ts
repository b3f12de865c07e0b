/**
 * The figures of the repository: what an event cost when somebody last looked and agreed.
 */
import { Schema } from "effect"
import { readFileSync, writeFileSync } from "node:fs"
import { Measured } from "./measure.ts"

const file = new URL("figures.json", import.meta.url)

const renewal = "node test/bench/work/main.ts --update"

/** How to renew the file, in words for whoever has to. */
export const howToRenew = `if that is meant, renew the figures: ${renewal}`

export const readFigures = (): Measured =>
  Schema.decodeSync(Schema.fromJsonString(Measured))(readFileSync(file, "utf8"))

export const writeFigures = ({ counted, node }: Measured): void => {
  const rounded = counted.map(({ bytes, calls, what }) => ({
    what,
    bytes: Math.round(bytes),
    calls: Math.round(calls * 10) / 10
  }))
  writeFileSync(file, `${JSON.stringify({ node, counted: rounded }, undefined, 2)}\n`)
}
