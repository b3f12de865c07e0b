/**
 * What an emitting process writes down, line by line, into a file that outlives it: a line is with the kernel before the
 * process goes on, so SIGKILL takes nothing of it.
 */
import { Schema } from "effect"
import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs"

/** How an event was accepted: `offset` of `epoch` if it was appended at once. */
const Accepted = Schema.TaggedStruct("Accepted", {
  run: Schema.String,
  n: Schema.Natural,
  critical: Schema.Boolean,
  receipt: Schema.Literals(["Appended", "Deferred", "HandedOver", "DeadLettered", "Dropped"]),
  epoch: Schema.optionalKey(Schema.String),
  offset: Schema.optionalKey(Schema.Natural)
})

/**
 * Counts of a process since it began; the last line of a life stands for all of it. `setAside` are those dead letters that
 * came too late for a run which had ended as lost, or are of the stricken user.
 */
const Counts = Schema.TaggedStruct("Counts", {
  accepted: Schema.Natural,
  deadLettered: Schema.Natural,
  setAside: Schema.Natural,
  spooled: Schema.Natural,
  dropped: Schema.Natural,
  confirmed: Schema.Natural,
  unconfirmed: Schema.Natural
})

/**
 * - `Began`: a process began, as this life of this name.
 * - `Started`: a run is about to start.
 * - `Accepted`: an event of a run was accepted.
 * - `Refused`: an event was refused, with the reason.
 * - `Took`: a run was given a command of a device, by its number.
 * - `Ended`: a run's effect ended, so its ending was emitted.
 * - `Rested`: no run is under way any more, and none will start.
 * - `Closed`: the process ended in order.
 */
export const Line = Schema.Union([
  Schema.TaggedStruct("Began", { at: Schema.Natural }),
  Schema.TaggedStruct("Started", { run: Schema.String, user: Schema.String, at: Schema.Natural }),
  Accepted,
  Schema.TaggedStruct("Refused", { run: Schema.String, n: Schema.Natural, reason: Schema.String }),
  Schema.TaggedStruct("Took", { run: Schema.String, name: Schema.Literals(["answer", "steer"]), n: Schema.Int }),
  Schema.TaggedStruct("Ended", { run: Schema.String, at: Schema.Natural }),
  Counts,
  Schema.TaggedStruct("Rested", {}),
  Schema.TaggedStruct("Closed", {})
])

/** One line. */
export type Line = typeof Line.Type

const decode = Schema.decodeUnknownSync(Line)

/** What was written down so far. */
export const read = (file: string): ReadonlyArray<Line> =>
  readFileSync(file, "utf8").split("\n").slice(0, -1).map((line) => decode(JSON.parse(line)))

/** Whether the process that writes it down has come to rest. */
export const hasRested = (file: string): boolean => tailOf(file).includes(restedLine)

const restedLine = JSON.stringify({ _tag: "Rested" })

/** More than the lines of a process take between two counts. */
const tailBytes = 256 * 1024

/** The newest counts, without reading all that was written down. */
export const latestCounts = (file: string): typeof Counts.Type | undefined => {
  const text = tailOf(file).findLast((line) => line.startsWith(countsStart))
  return text === undefined ? undefined : decodeCounts(JSON.parse(text))
}

const tailOf = (file: string): ReadonlyArray<string> => {
  const descriptor = openSync(file, "r")
  try {
    const { size } = fstatSync(descriptor)
    const buffer = Buffer.alloc(Math.min(size, tailBytes))
    readSync(descriptor, buffer, 0, buffer.length, size - buffer.length)
    return buffer.toString("utf8").split("\n").slice(0, -1)
  } finally {
    closeSync(descriptor)
  }
}

const countsStart = "{\"_tag\":\"Counts\""
const decodeCounts = Schema.decodeUnknownSync(Counts)
