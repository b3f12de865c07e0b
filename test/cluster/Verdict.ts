/**
 * Holds what devices got against what emitters wrote down, when everything is quiet.
 *
 * | promise | what is checked |
 * |---|---|
 * | P1 | a user's log holds that user's runs alone, and no event is in two logs |
 * | P2 | every device ends at the head of its user's log; a run's numbers are all there, those of one kind in order, and a critical one behind all that came before it (merging moves a text forward, to the text it is merged into) |
 * | P3 | a critical event that was accepted is in the log, where its receipt says; of a run that ended as lost, what was not appended is a dead letter; there are no other dead letters, since every emitter has a spool |
 * | P4 | no event is in a log twice (that no handler got one twice is checked as they come) |
 * | P8 | a run that started has exactly one ending, and nothing behind it |
 * | P10 | a command that its device was told is accepted reached its run, once, or the run ended; what was refused did not; a run that ended as cancelled by its user was asked to |
 * | P12 | all of this holds whatever strikes a user who has no devices, and whose own events are not judged |
 */
import type { Position } from "../../src/protocol/values/Position.ts"
import type { Sent } from "./Commander.ts"
import type { Devices, Log, Seen } from "./Devices.ts"
import { endsRun } from "./Devices.ts"
import type { Line } from "./Record.ts"

/** What is known in the end. `heads` are those of the users' logs, and `killed` the lives that were killed. */
export interface Evidence {
  readonly devices: Devices
  readonly heads: ReadonlyMap<string, Position>
  readonly records: ReadonlyArray<ReadonlyArray<Line>>
  readonly commands: ReadonlyArray<Sent>
}

/** What became of runs and events. */
export interface Account {
  readonly broken: ReadonlyArray<string>
  readonly runs: number
  readonly endings: Readonly<Record<string, number>>
  readonly accepted: number
  readonly inLog: number
  readonly deadLetters: number
  readonly dropped: number
  readonly confirmed: number
  /** Commands by what their devices were told. */
  readonly commands: Readonly<Record<string, number>>
}

interface Run {
  readonly user: string
  ending: string | undefined
  readonly events: Array<{ readonly at: Position; readonly seen: Seen }>
}

type Report = (what: string) => void

const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? { ...value } : {}

/** The numbers that an event of an agent carries: one, or those of the texts that were merged into it. */
const numbersOf = ({ data, type }: Seen): ReadonlyArray<number> => {
  if (type === "text_delta") return String(data["delta"]).trim().split(" ").map(Number)
  return type === "custom" ? [Number(record(data["data"])["n"])] : []
}

const runsOf = ({ events, user }: Log, report: Report): ReadonlyMap<string, Run> => {
  const runs = new Map<string, Run>()
  const ids = new Set<string>()
  const ordered = [...events].map(([key, seen]) => {
    const at = key.lastIndexOf(":")
    return { at: { epoch: key.slice(0, at), offset: Number(key.slice(at + 1)) }, seen }
  }).toSorted((a, b) => a.at.offset - b.at.offset)
  for (const event of ordered) {
    const { id, run } = event.seen
    if (ids.has(id)) report(`P4: ${id} is in the log of ${user} twice`)
    ids.add(id)
    if (run === undefined) continue
    const known: Run = runs.get(run) ?? { user, ending: undefined, events: [] }
    runs.set(run, known)
    known.events.push(event)
  }
  return runs
}

const checkRun = (name: string, { events }: Run, report: Report): string | undefined => {
  const seenNumbers = new Set<number>()
  const latest = new Map<string, number>()
  let ending: string | undefined
  for (const [index, { seen }] of events.entries()) {
    if (ending !== undefined) report(`P8: ${seen.type} is behind the ending of ${name}`)
    if ((index === 0) !== (seen.type === "agent_started")) {
      report(`P8: ${name} has ${seen.type} as its event ${index + 1}`)
    }
    for (const n of numbersOf(seen)) {
      if (seenNumbers.has(n)) report(`P4: ${name} has ${n} twice`)
      seenNumbers.add(n)
      const kind = seen.type === "text_delta" ? seen.type : "custom"
      if (n < (latest.get(kind) ?? 0)) report(`P2: ${name} has ${n} behind ${latest.get(kind)}`)
      latest.set(kind, Math.max(n, latest.get(kind) ?? 0))
      if (seen.data["name"] === "critical" && seenNumbers.size !== n) {
        report(`P2: ${name} has ${n}, which is critical, behind ${seenNumbers.size - 1} others`)
      }
    }
    if (endsRun(seen)) ending = seen.type === "agent_error" ? String(seen.data["reason"]) : "completed"
  }
  const highest = Math.max(0, ...latest.values())
  if (seenNumbers.size !== highest) report(`P3: ${name} has ${seenNumbers.size} of ${highest} numbers`)
  if (ending === undefined) report(`P8: ${name} has no ending`)
  return ending
}

const checkDevices = ({ devices, heads }: Evidence, report: Report): void => {
  for (const { name, position, status, user } of devices.all) {
    const head = heads.get(user)
    const at = position()
    if (head === undefined || (head.offset === 0 && at === undefined)) continue
    if (at?.epoch !== head.epoch || at.offset !== head.offset) {
      report(`P2: ${name} ended at ${at?.epoch}:${at?.offset} (${status()}), the log at ${head.epoch}:${head.offset}`)
    }
  }
}

/** Says what is broken, and what became of everything. */
export const judge = (evidence: Evidence): Account => {
  const broken: Array<string> = [...evidence.devices.problems]
  const report: Report = (what) => void broken.push(what)
  checkDevices(evidence, report)

  const runs = new Map<string, Run>()
  const owners = new Map<string, string>()
  const endings: Record<string, number> = {}
  let inLog = 0
  for (const log of evidence.devices.logs.values()) {
    inLog += log.events.size
    for (const { id } of log.events.values()) {
      const owner = owners.get(id) ?? log.user
      if (owner !== log.user) report(`P1: ${id} is in the logs of ${owner} and of ${log.user}`)
      owners.set(id, owner)
    }
    for (const [name, run] of runsOf(log, report)) {
      runs.set(name, run)
      const ending = checkRun(name, run, report)
      run.ending = ending
      if (ending !== undefined) endings[ending] = (endings[ending] ?? 0) + 1
    }
  }

  let accepted = 0
  let deadLetters = 0
  let dropped = 0
  let confirmed = 0
  for (const lines of evidence.records) {
    let counts: Extract<Line, { _tag: "Counts" }> | undefined
    const unjudged = new Set<string>()
    const settle = () => {
      accepted += counts?.accepted ?? 0
      deadLetters += counts?.deadLettered ?? 0
      dropped += counts?.dropped ?? 0
      confirmed += counts?.confirmed ?? 0
      if (counts !== undefined && counts.deadLettered > counts.setAside) {
        report(
          `P3: ${counts.deadLettered - counts.setAside} dead letters are neither of lost runs nor of the stricken user`
        )
      }
      counts = undefined
    }
    for (const line of lines) {
      if (line._tag === "Began") settle()
      else if (line._tag === "Counts") counts = line
      else if (line._tag === "Started") {
        if (!evidence.devices.logs.has(line.user)) unjudged.add(line.run)
        const run = runs.get(line.run)
        if (run !== undefined && run.user !== line.user) report(`P1: ${line.run} of ${line.user} went to ${run.user}`)
      } else if (line._tag === "Accepted" && !unjudged.has(line.run)) checkAccepted(line, runs.get(line.run), report)
    }
    settle()
  }
  checkCommands(evidence, runs, report)
  const commands: Record<string, number> = {}
  for (const { outcome } of evidence.commands) {
    const told = outcome === "unknown" || outcome.outcome === "accepted"
      ? typeof outcome === "string" ? outcome : "accepted"
      : outcome.reason
    commands[told] = (commands[told] ?? 0) + 1
  }
  return { broken, runs: runs.size, endings, accepted, inLog, deadLetters, dropped, confirmed, commands }
}

const endOf = (run: Run | undefined): Seen | undefined => run?.events.find(({ seen }) => endsRun(seen))?.seen

const isAccepted = ({ outcome }: Sent): boolean => outcome !== "unknown" && outcome.outcome === "accepted"

/** The ending, and what may have been on its way when a device was told that its command is accepted. */
const lastEvents = 4

const checkCommands = (
  { commands, records }: Evidence,
  runs: ReadonlyMap<string, Run>,
  report: Report
): void => {
  const taken = new Map<number, number>()
  const sent = new Map(commands.map((command) => [command.n, command]))
  for (const line of records.flat()) {
    if (line._tag !== "Took") continue
    const times = (taken.get(line.n) ?? 0) + 1
    taken.set(line.n, times)
    const command = sent.get(line.n)
    if (times > 1) report(`P10: ${line.run} was given ${line.name} ${line.n} ${times} times`)
    if (command?.run !== line.run || command.name !== line.name) {
      report(`P10: ${line.run} was given ${line.name} ${line.n}, which nobody sent it`)
    }
  }
  const answers = new Map<string, number>()
  for (const command of commands) {
    const { n, name, outcome, run } = command
    const what = `${name} ${n} of ${run}`
    if (outcome !== "unknown" && outcome.outcome === "refused" && taken.has(n)) {
      report(`P10: ${what} was refused as ${outcome.reason}, and reached the run`)
    }
    if (!isAccepted(command)) continue
    // One whose run was stopped, or whose process was killed, may have reached it and nothing more.
    const { ending, events = [] } = runs.get(run) ?? {}
    const isCut = ending === "cancelled" || ending === "lost"
    if (name === "cancel" && !isCut) report(`P10: ${what} was accepted, and the run ended as ${ending}`)
    // What reads commands in a run ends with it, so that one may be accepted with the last events of its run.
    const isLast = events.filter(({ at }) => at.offset > command.heardAt).length <= lastEvents
    if (name !== "cancel" && !isCut && !isLast && !taken.has(n)) {
      report(`P10: ${what} was accepted, and did not reach the run`)
    }
    if (name !== "answer") continue
    const other = answers.get(run)
    if (other !== undefined) report(`P10: answers ${other} and ${n} of ${run} were both accepted`)
    answers.set(run, n)
  }
  const asked = new Set(commands.filter(({ name }) => name === "cancel").map(({ run }) => run))
  for (const [name, run] of runs) {
    if (endOf(run)?.data["by"] === "user" && !asked.has(name)) report(`P10: ${name} was cancelled, and nobody asked`)
  }
}

const checkAccepted = (line: Extract<Line, { _tag: "Accepted" }>, run: Run | undefined, report: Report): void => {
  const { epoch, n, offset, receipt } = line
  const name = `${line.run} ${n}`
  if (offset === undefined) {
    // A run that was lost before it came out of the spool has nothing in the log but what was appended before.
    if (!line.critical || run?.ending === "lost") return
    if (receipt !== "HandedOver") return report(`P3: ${name} is critical, and ${receipt}`)
  }
  const found = run?.events.find(({ seen }) => numbersOf(seen).includes(n))
  if (found === undefined) {
    const where = offset === undefined ? "" : ` at ${epoch}:${offset}`
    return report(
      `P3: ${name} was accepted (${receipt}${where}), and is not in the log (its run: ${run?.ending ?? "unknown"})`
    )
  }
  if (offset !== undefined && (found.at.epoch !== epoch || found.at.offset !== offset)) {
    report(`P3: ${name} was appended at ${epoch}:${offset}, and is at ${found.at.epoch}:${found.at.offset}`)
  }
}
