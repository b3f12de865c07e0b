/**
 * `effect-emitter tail`: a user's log as it grows.
 *
 * It asks for what is new a few times a second, and does not count as a device: what
 * an emitter does for readers, such as waiting for an acknowledgement, it leaves as it
 * is.
 *
 * @since 0.2.0
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Broker } from "../../broker/Broker.ts"
import type { RunSnapshotAt, Slice } from "../../broker/Log.ts"
import { isTerminal } from "../../protocol/event/RunEvents.ts"
import { Positive } from "../../protocol/settings/Settings.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { Position } from "../../protocol/values/Position.ts"
import { toJson } from "../../protocol/wire/Envelope.ts"
import { WireEvent } from "../../protocol/wire/Frame.ts"
import { eventLine, runLines } from "../output/EventLine.ts"
import { Failed, ofBroker } from "../output/Failed.ts"
import type { Out } from "../output/Out.ts"
import { out, told, user, withBroker } from "./Shared.ts"

const pollEvery = "250 millis"
const limits = { maxEvents: 256, maxBytes: 1024 * 1024 }

const readWire = Schema.decodeUnknownOption(Schema.fromJsonString(WireEvent))

const Offset = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

interface Tail {
  readonly user: UserId
  readonly out: Out
  readonly withData: boolean
  readonly withRuns: boolean
  readonly most: number
  readonly isLive: boolean
}

const startAt = (
  { epoch, offset: last }: Position,
  from: "head" | "earliest",
  after: Option.Option<number>
): Effect.Effect<Position, Failed> => {
  const offset = Option.getOrElse(after, () => from === "head" ? last : 0)
  if (offset <= last) return Effect.succeed({ epoch, offset })
  return Effect.fail(
    new Failed({
      exit: "usage",
      message: `--after is ${offset}, and the log ends at offset ${last} of epoch ${epoch}`,
      remedy: `begin behind an offset up to ${last}; an offset of an epoch that is over means nothing any more`
    })
  )
}

const follow = Effect.fnUntraced(function*(tail: Tail, from: Position) {
  const broker = yield* Broker
  const { isLive, most, out: to, user: of, withData, withRuns } = tail
  let position = from
  let events = 0
  let gaps = 0
  let told: string | undefined

  const tellSnapshot = (snapshot: RunSnapshotAt) =>
    Effect.andThen(
      to.line(...runLines(to, snapshot, true)),
      to.value({ run: snapshot.run, offset: snapshot.offset, state: snapshot.state })
    )
  const tellRun = (run: RunIdOf) =>
    broker.snapshot(of, run).pipe(
      Effect.flatMap(({ snapshot }) => snapshot === undefined ? Effect.void : tellSnapshot(snapshot)),
      Effect.catch((error) =>
        isLive ? to.aside(`how run ${run} ended is not told: ${ofBroker(error).message}`) : Effect.fail(error)
      )
    )

  // Gives whether more is wanted. Whenever it ends, it has noted what it told.
  const tell = Effect.fnUntraced(function*({ entries, gap, next }: Slice) {
    if (gap !== undefined) {
      gaps++
      position = { epoch: gap.epoch, offset: gap.to }
      yield* to.value({ gap })
      yield* to.line(
        to.paint("yellow", `gap of ${gap.to - gap.from + 1} events, ${gap.from} to ${gap.to}: ${gap.reason}`)
      )
    }
    for (const entry of entries) {
      if (events === most) return false
      const wire = Option.getOrUndefined(readWire(toJson(entry.offset, entry.body)))
      yield* to.value({ epoch: next.epoch, ...wire, ...(withData ? {} : { data: undefined }) })
      yield* to.line(eventLine(to, wire ?? { ...entry, id: "", data: "unreadable" }, withData))
      events++
      position = { epoch: next.epoch, offset: entry.offset }
      if (withRuns && entry.run !== undefined && isTerminal(entry.type)) yield* tellRun(entry.run)
    }
    position = next
    return events < most
  })

  const step = Effect.suspend(() => broker.pull(of, position, limits)).pipe(
    Effect.map(Option.some),
    // A tail that was begun outlives a broker that is away.
    Effect.catch((error) => {
      const why = ofBroker(error).message
      if (why === told || !isLive) return isLive ? Effect.succeedNone : Effect.fail(error)
      told = why
      return Effect.as(to.aside(`${why}; trying on`), Option.none())
    })
  )

  const activeRuns = Effect.flatMap(
    broker.snapshots(of),
    ({ snapshots }) => Effect.forEach(snapshots, tellSnapshot, { discard: true })
  )

  const summary = Effect.suspend(() =>
    to.aside(
      `${events} events${
        gaps === 0 ? "" : `, ${gaps} gaps`
      }; read up to offset ${position.offset} of epoch ${position.epoch}`
    )
  )

  yield* Effect.gen(function*() {
    while (true) {
      const slice = Option.getOrUndefined(yield* step)
      if (slice !== undefined) {
        told = undefined
        if (!(yield* tell(slice))) return
        if (slice.next.offset < slice.head) continue
      }
      if (!isLive) break
      yield* Effect.sleep(pollEvery)
    }
  }).pipe(
    Effect.onInterrupt(() =>
      withRuns ? Effect.ignore(Effect.timeoutOption(Effect.interruptible(activeRuns), "1 second")) : Effect.void
    ),
    Effect.ensuring(summary)
  )
})

type RunIdOf = Parameters<Broker["Service"]["snapshot"]>[1]

/**
 * The command.
 *
 * @category constructors
 * @since 0.2.0
 */
export const tail = Command.make(
  "tail",
  {
    user,
    from: Flag.Literals("from", ["head", "earliest"]).pipe(
      told("Begin with what comes, or with the oldest event that is kept", "head"),
      Flag.withDefault("head")
    ),
    after: Flag.Int("after").pipe(
      Flag.withMetavar("OFFSET"),
      told("Begin behind this offset, whatever --from says", "as --from says"),
      Flag.withSchema(Offset),
      Flag.optional
    ),
    count: Flag.Int("count").pipe(
      Flag.withAlias("n"),
      told("End after so many events", "as many as come"),
      Flag.withSchema(Positive),
      Flag.optional
    ),
    live: Flag.Boolean("live").pipe(
      told("Go on with what comes; --no-live ends with the newest event there is", "yes"),
      Flag.withDefault(true)
    ),
    data: Flag.Boolean("data").pipe(
      told("Show what events carry; --no-data leaves it out", "yes"),
      Flag.withDefault(true)
    ),
    runs: Flag.Boolean("runs").pipe(
      told("Show the folded state of each run that ends, and at Ctrl-C of those that are active", "no"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function*({ after, count, data, from, live, runs, user: of }) {
    const to = yield* out
    yield* withBroker(
      of,
      Effect.gen(function*() {
        const { head } = yield* Broker
        const start = yield* startAt(yield* head(of), from, after)
        yield* follow({
          user: of,
          out: to,
          withData: data,
          withRuns: runs,
          most: Option.getOrElse(count, () => Number.POSITIVE_INFINITY),
          isLive: live
        }, start)
      })
    )
  })
).pipe(
  Command.withDescription(
    "Shows a user's events in their order, with offsets, until Ctrl-C, which tells how far it has read. It does not count as a device."
  ),
  Command.withExamples([
    { command: "effect-emitter tail ada --runs", description: "What comes, and each run as it ended" },
    {
      command: "effect-emitter tail ada --from earliest --no-live --json",
      description: "All that is kept, for a program"
    }
  ])
)
