/**
 * `effect-emitter why`: where an event or a run is, and why.
 *
 * @since 0.2.0
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Broker } from "../../broker/Broker.ts"
import type { BrokerError } from "../../broker/BrokerError.ts"
import type { RunSnapshotAt } from "../../broker/Log.ts"
import * as LogReader from "../../broker/LogReader.ts"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import type { DeliveryClass } from "../../protocol/event/Event.ts"
import { Id, RunId, type UserId } from "../../protocol/values/Identity.ts"
import { toJson } from "../../protocol/wire/Envelope.ts"
import { WireEvent } from "../../protocol/wire/Frame.ts"
import type { Backend, Sought } from "../backend/Backend.ts"
import * as Backends from "../backend/Backends.ts"
import * as EventName from "../backend/EventName.ts"
import { eventLine, runLines } from "../output/EventLine.ts"
import { Failed } from "../output/Failed.ts"
import type { Out } from "../output/Out.ts"
import * as SpoolFile from "../spool/SpoolFile.ts"
import * as Find from "./Find.ts"
import { ofUser, out, spool, withBroker } from "./Shared.ts"

/** Where something is, told as a sentence, and what to do if it should be elsewhere. */
interface Answer {
  readonly where: "log" | "trimmed" | "spool" | "deadLetter" | "neverAccepted" | "unknown"
  readonly user?: UserId
  readonly message: string
  readonly remedy?: string
  readonly event?: WireEvent
  readonly run?: RunSnapshotAt
}

const isFound = ({ where }: Answer): boolean => where !== "neverAccepted" && where !== "unknown"

const readWire = Schema.decodeUnknownOption(Schema.fromJsonString(WireEvent))

const inSpool = (file: string, id: string): Effect.Effect<ReadonlyArray<Answer>, Failed> =>
  SpoolFile.read(file, ({ letters, waiting }) => {
    const answers: Array<Answer> = []
    const counts = new Map<UserId, number>()
    let place = 0
    waiting((user, event) => {
      place++
      if (typeof event === "string") return
      if (event.id === id) {
        answers.push({
          where: "spool",
          user,
          message: `it waits in the spool, as number ${place} of all that wait there`,
          remedy: "it goes to the log by itself once the broker works and a process with this spool runs"
        })
      } else if (event.run === id) counts.set(user, (counts.get(user) ?? 0) + 1)
    })
    for (const [user, count] of counts) {
      answers.push({
        where: "spool",
        user,
        message: `${count} events of the run wait in the spool`,
        remedy: "they go to the log by themselves once the broker works and a process with this spool runs"
      })
    }
    for (const { event, reasons, trigger, user } of letters()) {
      if (event.id !== id && event.run !== id) continue
      const why = reasons.map(({ outlet, why: reason }) => `${outlet}: ${reason}`).join("; ")
      answers.push({
        where: "deadLetter",
        user,
        message: `${event.id === id ? "it" : `its event ${event.id} (${event.type})`} is a dead letter: ${trigger}${
          why === "" ? "" : ` (${why})`
        }`,
        remedy: "mend the cause, and replay it with DeadLetters.replay in the process that has this spool"
      })
    }
    return answers
  }).pipe(Effect.mapError(({ message }) => new Failed({ exit: "usage", message })))

interface Seen {
  readonly event: WireEvent | undefined
  readonly delivery: DeliveryClass
  readonly first: number
  readonly last: number
  readonly count: number
}

// Reads the whole log: what is asked for is not known by its offset.
const look = Effect.fnUntraced(function*(
  user: UserId,
  id: string
): Effect.fn.Return<Seen & { readonly oldest: number; readonly head: number }, BrokerError, Broker> {
  const broker = yield* Broker
  const head = yield* broker.head(user)
  let oldest = head.offset + 1
  let seen: Seen = { event: undefined, delivery: "critical", first: 0, last: 0, count: 0 }
  yield* Stream.runForEach(
    LogReader.readTo(broker, user, { epoch: head.epoch, offset: 0 }, head),
    (item) =>
      Effect.sync(() => {
        if (item._tag === "Gap") return
        const { entry } = item
        oldest = Math.min(oldest, entry.offset)
        if (entry.run === id) {
          seen = {
            ...seen,
            first: seen.count === 0 ? entry.offset : seen.first,
            last: entry.offset,
            count: seen.count + 1
          }
        }
        if (entry.body.includes(id)) {
          const wire = Option.getOrUndefined(readWire(toJson(entry.offset, entry.body)))
          if (wire?.id === id) seen = { ...seen, event: wire, delivery: entry.delivery }
        }
      })
  )
  return { ...seen, oldest, head: head.offset }
})

const filters = ({ thread }: Pick<WireEvent, "thread">, delivery: DeliveryClass): string => {
  const byThread = thread === undefined ? [] : [`devices that asked for other threads than ${thread} do not get it`]
  const bySpeed = delivery === "critical" ? [] : ["a device that reads too slowly may be told to do without it"]
  return [...byThread, ...bySpeed].map((text) => `; ${text}`).join("")
}

const inLog = Effect.fnUntraced(function*(backend: Backend, user: UserId, id: string) {
  const broker = yield* Broker
  const answers: Array<Answer> = []
  const { count, delivery, event, first, head, last, oldest } = yield* look(user, id)
  if (event !== undefined) {
    answers.push({
      where: "log",
      user,
      event,
      message: `it is in the log of ${user} at offset ${event.offset}, of ${oldest} to ${head}${
        filters(event, delivery)
      }`
    })
  }
  const { snapshot } = yield* broker.snapshot(user, RunId.make(id))
  if (count > 0 || snapshot !== undefined) {
    const events = count === 0
      ? "none of its events is kept"
      : `${count} of its events are kept, at ${first} to ${last}`
    answers.push({
      where: count > 0 ? "log" : "trimmed",
      user,
      ...(snapshot === undefined ? {} : { run: snapshot }),
      message: `it is a run of ${user}: ${events}; the log holds ${oldest} to ${head}`,
      ...(count > 0 ? {} : { remedy: yield* backend.retention })
    })
  }
  return { answers, oldest, head }
})

// What a log has taken it knows longer than it holds it.
const byNumber = Effect.fnUntraced(function*(backend: Backend, user: UserId, id: string, holds: string) {
  const name = EventName.parse(id)
  const taken = name === undefined ? "unknown" : yield* backend.taken(user, name.source, name.sequence)
  switch (taken) {
    case "taken":
      return [{
        where: "trimmed",
        user,
        message: `it was in the log of ${user}, and is not kept any more; the log holds ${holds}`,
        remedy: yield* backend.retention
      }] as const
    case "free":
      return [{
        where: "neverAccepted",
        user,
        message: `it never came to the log of ${user}, which knows its emitter`,
        remedy: "its process still holds it, in its memory, spool or dead letters (--spool FILE), or dropped it: see " +
          "emitter_spool_events, emitter_dead_letters and emitter_dropped_total there"
      }] as const
    case "unknown":
      return []
  }
})

// One after the other, since a file is its broker's alone.
const ofLog = Effect.fnUntraced(function*(
  backend: Backend,
  user: UserId,
  id: string
): Effect.fn.Return<ReadonlyArray<Answer>, ConfigError | Failed> {
  const { answers, head, oldest } = yield* withBroker(
    user,
    inLog(backend, user, id),
    `the log of ${user} was not read to its end`
  )
  return answers.length > 0 ? answers : yield* byNumber(backend, user, id, `${oldest} to ${head}`)
})

const tell = Effect.fnUntraced(function*(to: Out, id: string, answers: ReadonlyArray<Answer>) {
  for (const answer of answers) {
    const { event, message, remedy, run, where } = answer
    yield* to.value({ id, ...answer })
    yield* to.line(`${to.paint(isFound(answer) ? "green" : "red", where)}: ${message}`)
    if (event !== undefined) yield* to.line(`  ${eventLine(to, event, true)}`)
    if (run !== undefined) yield* to.line(...runLines(to, run, false).map((line) => `  ${line}`))
    if (remedy !== undefined) yield* to.line(`  → ${remedy}`)
  }
})

const nothing: Answer = {
  where: "unknown",
  message:
    "nothing is known of it: it was never emitted, was dropped before it had a number, or its user's log is forgotten",
  remedy:
    "see whether the id is right and the settings of the broker are those of your processes; a run that ended before many " +
    "others is found where its user is named (--user USER), and a spool is looked at with --spool FILE"
}

/**
 * The command.
 *
 * @category constructors
 * @since 0.2.0
 */
export const why = Command.make(
  "why",
  {
    id: Argument.String("id").pipe(
      Argument.withDescription("The id of an event or of a run"),
      Argument.withSchema(Id)
    ),
    user: ofUser,
    spool: spool("the log alone")
  },
  Effect.fnUntraced(function*({ id, spool: spoolFile, user }) {
    const to = yield* out
    const spooled: ReadonlyArray<Answer> = Option.isNone(spoolFile)
      ? []
      : yield* inSpool(spoolFile.value, id)
    // What is known so far is told at once: what follows may take long, or be interrupted.
    yield* tell(to, id, spooled)
    const backend = yield* Backends.current
    const name = EventName.parse(id)
    const sought: ReadonlyArray<Sought> = [{ run: id }, ...(name === undefined ? [] : [{ source: name.source }])]
    const users = yield* Find.users(backend, to, user, sought)
    const logged = (yield* Effect.forEach(users, (of) => ofLog(backend, of, id))).flat()
    // What waits in a spool never came to the log yet, of course.
    const rest = spooled.length > 0 ? logged.filter(isFound) : logged.length > 0 ? logged : [nothing]
    yield* tell(to, id, rest)
    if (![...spooled, ...rest].some(isFound)) return yield* new Failed({ exit: "no", message: "" })
  })
).pipe(
  Command.withDescription(
    "Tells where an event or a run is: in the log, trimmed, waiting in a spool, a dead letter, never accepted, or unknown. Ends with 1 for the last two."
  ),
  Command.withExamples([
    { command: "effect-emitter why 4k2hs0e8rm6v1b7c0-17 --user ada", description: "An event of ada's" },
    { command: "effect-emitter why 7f3a --spool /var/lib/app/spool.db", description: "A run, a spool included" }
  ])
)
