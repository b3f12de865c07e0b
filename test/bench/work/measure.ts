/**
 * Starts the process that counts, so that it counts the same every time, on every machine.
 */
import * as Schema from "effect/Schema"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

export const Counted = Schema.Struct({
  what: Schema.String,
  /** Of an event, on the heap and in buffers, garbage included. */
  bytes: Schema.Number,
  /** Of an event, of functions in JavaScript. */
  calls: Schema.Number
})

export type Counted = typeof Counted.Type

/** What was counted, and by which Node. */
export const Measured = Schema.Struct({ node: Schema.String, counted: Schema.Array(Counted) })

export type Measured = typeof Measured.Type

/** The same, and what was counted where events made an object more than they need. */
const Told = Schema.fromJsonString(Schema.Struct({ ...Measured.fields, wasteful: Schema.Array(Counted) }))

type Told = typeof Told.Type

/** The counting process tells what it counted. */
export const tell = (told: Omit<Told, "node">): Promise<void> => {
  const text = Schema.encodeSync(Told)({ node: process.versions.node, ...told })
  return new Promise((resolve) => void process.stdout.write(text, () => resolve()))
}

/**
 * No compiler that looks for what is hot, since when it finds what depends on the moment, and what it then spares as well.
 * Nothing beside the one thread, and so large a young generation that nothing is collected while it is counted.
 */
const flags = [
  "--expose-gc",
  "--no-opt",
  "--no-maglev",
  "--no-sparkplug",
  "--no-flush-bytecode",
  "--single-threaded",
  "--min-semi-space-size=128",
  "--max-semi-space-size=128",
  "--disable-warning=ExperimentalWarning"
]

/** The Node that `npm ci` installs, whichever runs this. */
const node = fileURLToPath(new URL("../../../node_modules/.bin/node", import.meta.url))

export interface Options {
  /** The kind to count once more where each event makes an object more than it needs. */
  readonly waste?: string
  /** Ends the process. */
  readonly signal?: AbortSignal
}

export const measureWork = async ({ signal, waste }: Options = {}): Promise<Told> => {
  const program = fileURLToPath(new URL("count.ts", import.meta.url))
  const { NODE_COMPILE_CACHE, PATH } = process.env
  const { stdout } = await promisify(execFile)(node, [
    ...flags,
    program,
    ...waste === undefined ? [] : ["--waste", waste]
  ], {
    // No flags that whoever starts this has for itself.
    env: { PATH, ...NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE } },
    killSignal: "SIGKILL",
    ...signal === undefined ? {} : { signal }
  })
  return Schema.decodeSync(Told)(stdout)
}
