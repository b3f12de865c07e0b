/**
 * Events and runs as lines.
 *
 * @since 0.2.0
 */
import * as DateTime from "effect/DateTime"
import * as RunEvents from "../../protocol/event/RunEvents.ts"
import type { RunSnapshotAt } from "../../broker/Log.ts"
import type { RunSnapshot } from "../../protocol/run/RunSnapshotSchema.ts"
import { type Out, plain, short } from "./Out.ts"

/**
 * An event as it stands in the log.
 *
 * @category models
 * @since 0.2.0
 */
export interface LoggedEvent {
  readonly offset: number
  readonly id: string
  readonly type: string
  readonly at: number
  readonly run?: string | undefined
  readonly thread?: string | undefined
  readonly data: unknown
}

/**
 * The time of day of a time in milliseconds since the Unix epoch, in UTC.
 *
 * @category conversions
 * @since 0.2.0
 */
export const timeOf = (at: number): string => DateTime.formatIso(DateTime.makeUnsafe(at)).slice(11, 23)

/**
 * One line of an event: offset, time, type, run, thread, data.
 *
 * @category conversions
 * @since 0.2.0
 */
export const eventLine = ({ paint }: Out, event: LoggedEvent, withData: boolean): string => {
  const words = [
    paint("bold", String(event.offset).padStart(6)),
    paint("dim", timeOf(event.at)),
    paint(event.type === RunEvents.failed ? "red" : "blue", plain(event.type).padEnd(18)),
    event.run === undefined ? "-" : plain(event.run),
    ...(event.thread === undefined ? [] : [paint("dim", `thread ${plain(event.thread)}`)]),
    ...(withData ? [short(JSON.stringify(event.data), 120)] : [])
  ]
  return words.join("  ")
}

const colourOf = (status: RunSnapshot["status"]) =>
  status === "completed" ? "green" as const : status === "active" ? "yellow" as const : "red" as const

/**
 * The lines of a run: how it stands, and its parts, one a line.
 *
 * @category conversions
 * @since 0.2.0
 */
export const runLines = ({ paint }: Out, { offset, run, state }: RunSnapshotAt, withParts: boolean): Array<string> => {
  const { agentName, dropped, endedAt, endedBy, error, parts, startedAt, status, thread, usage } = state
  const told = [
    ...(agentName === undefined ? [] : [plain(agentName)]),
    ...(thread === undefined ? [] : [`thread ${plain(thread)}`]),
    ...(startedAt === undefined ? [] : [`began ${timeOf(startedAt)}`]),
    ...(startedAt === undefined || endedAt === undefined ? [] : [`took ${endedAt - startedAt} ms`]),
    ...(endedBy === undefined ? [] : [`ended by the ${endedBy}`]),
    `up to offset ${offset}`,
    ...(usage.inputTokens + usage.outputTokens === 0 ? [] : [`${usage.inputTokens + usage.outputTokens} tokens`])
  ]
  const lines = [`${paint(colourOf(status), status.padEnd(9))}  ${paint("bold", plain(run))}  ${told.join(", ")}`]
  if (error !== undefined) lines.push(`  ${paint("red", short(error, 200))}`)
  if (!withParts) return lines
  for (const part of parts) lines.push(`  ${paint("dim", part.type.padEnd(8))} ${short(partText(part), 160)}`)
  if (dropped !== undefined) lines.push(`  ${paint("dim", `and ${dropped} more that are not kept`)}`)
  return lines
}

const partText = (part: RunSnapshot["parts"][number]): string => {
  switch (part.type) {
    case "text":
    case "thinking":
      return part.text
    case "tool":
      return `${part.toolName} (${part.status}${part.durationMs === undefined ? "" : ` in ${part.durationMs} ms`})`
    case "request":
      return `${part.kind}: ${part.title} (${part.status})`
    case "step":
      return `${part.name} (${part.status})`
    case "source":
      return part.title ?? part.url ?? part.sourceId
    case "file":
      return `${part.name ?? part.fileId} (${part.mediaType})`
    case "event":
      return `${part.name} ${JSON.stringify(part.data)}`
  }
}
