/**
 * Puts events, gaps and snapshots in their order: no event is delivered twice, and
 * none is left out without a gap that says so.
 *
 * @since 0.1.0
 */
import type { Position } from "../../protocol/values/Position.ts"
import * as PositionText from "../../protocol/values/PositionText.ts"
import * as RunEvents from "../../protocol/event/RunEvents.ts"
import * as RecentIds from "./RecentIds.ts"
import type { Item } from "./SessionIO.ts"
import type { Back, Turn } from "./SessionState.ts"
import { earliest } from "./SessionState.ts"
import type { Loss } from "./Status.ts"
import type { WireEvent } from "../../protocol/event/ReceivedEvent.ts"
import type { ServerFrame } from "../transport/ServerFrames.ts"

type Frame<Type extends ServerFrame["type"]> = Extract<ServerFrame, { readonly type: Type }>

/**
 * Takes an `events` frame. Returns how the frame breaks the order, if it does;
 * then nothing of it was delivered.
 *
 * @category frames
 * @since 0.1.0
 */
export const onEvents = (turn: Turn, frame: Frame<"events">): Loss | undefined => {
  const start = turn.position
  if (start === undefined || frame.epoch !== start.epoch) {
    return missing(start, { epoch: frame.epoch, offset: frame.events[0]?.offset ?? frame.upTo ?? 0 })
  }
  const filtered = turn.config.threads !== undefined
  const upTo = frame.upTo ?? 0
  const fresh: Array<WireEvent> = []
  let offset = start.offset
  const missingBefore = (received: number) => missing({ ...start, offset }, { ...start, offset: received })
  for (const event of frame.events) {
    if (event.offset <= offset) {
      // Seen before, unless a filtered frame went past it.
      if (filtered && event.offset > start.offset && !fresh.some((_) => _.offset === event.offset)) {
        return missingBefore(event.offset)
      }
      continue
    }
    if (event.offset !== offset + 1 && !(filtered && upTo >= event.offset - 1)) {
      return missingBefore(event.offset)
    }
    offset = event.offset
    fresh.push(event)
  }
  if (upTo > offset) {
    if (!filtered) return missingBefore(upTo + 1)
    offset = upTo
  }

  if (offset === start.offset) return undefined
  const { left = 0 } = turn.pending ?? {}
  if (left > 0) return { _tag: "badFrame", detail: `events came before ${left} snapshots that had to come` }
  const position = { epoch: start.epoch, offset }
  const unseen = turn.former.size === 0 ? fresh : fresh.filter((event) => !turn.former.has(event.id))
  note(turn, fresh)
  turn.position = position
  turn.recent = RecentIds.add(turn.recent, fresh.map((event) => event.id))
  turn.actions.push({
    _tag: "deliver",
    items: unseen.map((event): Item => ({ _tag: "Event", epoch: start.epoch, event })),
    position
  })
  return undefined
}

/**
 * Takes a `gap` frame, or returns how it breaks the order.
 *
 * @category frames
 * @since 0.1.0
 */
export const onGap = (turn: Turn, frame: Frame<"gap">): Loss | undefined => {
  const { snapshots } = frame
  const start = turn.position
  // A log may lose its newest events and keep its epoch. Its head is then behind what was seen here, and nothing that was
  // known of it holds.
  const lostNewest = frame.reason === "epoch" && start !== undefined && turn.phase._tag === "Open" &&
    turn.phase.head < start.offset
  const known = start !== undefined && start.epoch === frame.epoch && !lostNewest
  if (known && frame.to <= start.offset) {
    awaitSnapshots(turn, snapshots, { position: start, resume: start })
    return undefined
  }
  if (known && frame.from > start.offset + 1) return missing(start, { epoch: frame.epoch, offset: frame.from })

  const position = { epoch: frame.epoch, offset: frame.to }
  const previous = start?.epoch === earliest.epoch ? undefined : start
  if (start !== undefined) awaitSnapshots(turn, snapshots, { position: start, resume: start })
  // The snapshots name all runs that go on, and those that ended meanwhile, as far as the server has not forgotten them.
  if (!known || frame.reason === "retention") doubt(turn)
  if (!known) newEpoch(turn)
  turn.position = position
  if (turn.phase._tag === "Open" && turn.phase.epoch !== frame.epoch) {
    turn.phase = { ...turn.phase, epoch: frame.epoch, head: frame.to }
  }
  // Nothing is missing from a log that was asked for all that it keeps, and that keeps all.
  const isMissing = previous !== undefined || frame.to >= frame.from
  const from = known ? start.offset + 1 : frame.from
  turn.actions.push({
    _tag: "deliver",
    items: isMissing
      ? [{ _tag: "Gap", epoch: frame.epoch, from, to: frame.to, reason: frame.reason, previous }]
      : [],
    position
  })
  return undefined
}

/**
 * Takes a `snapshot` frame, or returns why it has no place here.
 *
 * @category frames
 * @since 0.1.0
 */
export const onSnapshot = (turn: Turn, frame: Frame<"snapshot">): Loss | undefined => {
  const { position } = turn
  if (position === undefined) return { _tag: "badFrame", detail: "a snapshot came before any position" }
  heard(turn, frame.run)
  if (turn.pending !== undefined) awaitSnapshots(turn, Math.max(0, turn.pending.left - 1))
  setRunning(turn, frame.run, frame.state.status === "active")
  turn.actions.push({
    _tag: "deliver",
    items: [{ _tag: "Snapshot", epoch: position.epoch, run: frame.run, offset: frame.offset, state: frame.state }],
    position
  })
  return undefined
}

/**
 * Reports runs of before a gap as lost, once all snapshots are here and neither a
 * snapshot nor an event has named them. It waits until every event that was in the
 * log at the welcome has come, since one of them may still name such a run.
 *
 * @category frames
 * @since 0.1.0
 */
export const settle = (turn: Turn): void => {
  const { pending, phase, position } = turn
  if (pending === undefined || pending.left > 0 || position === undefined) return
  if (phase._tag !== "Open" || !phase.caughtUp) return
  turn.pending = undefined
  if (pending.runs.size === 0) return
  for (const run of pending.runs) setRunning(turn, run, false)
  turn.actions.push({
    _tag: "deliver",
    items: Array.from(pending.runs, (run): Item => ({ _tag: "Lost", run, at: turn.wall })),
    position
  })
}

/**
 * Notes how many snapshots are to come, in place of what was noted before. If the
 * connection is lost before they are here, the session goes back to `back`.
 *
 * @category frames
 * @since 0.1.0
 */
export const awaitSnapshots = (turn: Turn, left: number, back?: Back): void => {
  const { pending } = turn
  turn.pending = {
    back: left > 0 ? pending?.back ?? back : undefined,
    left,
    runs: pending?.runs ?? new Set()
  }
}

/** The server knows of this run. */
const heard = (turn: Turn, run: string): void => {
  if (turn.pending?.runs.has(run) !== true) return
  const runs = new Set(turn.pending.runs)
  runs.delete(run)
  turn.pending = { ...turn.pending, runs }
}

/** Whether the server still knows the runs that are open is to be seen. */
const doubt = (turn: Turn): void => {
  if (turn.pending === undefined) return
  turn.pending = { ...turn.pending, runs: new Set([...turn.pending.runs, ...turn.running]) }
}

const newEpoch = (turn: Turn): void => {
  turn.former = new Set([...turn.former, ...RecentIds.toSet(turn.recent)].slice(-RecentIds.kept))
  turn.recent = RecentIds.empty
  turn.running = new Set()
  turn.confirms = []
  turn.named = []
  turn.ackDue = undefined
  turn.acked = -1
}

const note = (turn: Turn, events: ReadonlyArray<WireEvent>): void => {
  const confirms = events.filter((event) => event.confirm === true).map((event) => event.offset)
  if (confirms.length > 0) turn.confirms = [...turn.confirms, ...confirms]
  for (const { keep, run, type } of events) {
    if (run === undefined) continue
    heard(turn, run)
    if (RunEvents.isFolded(type, keep)) setRunning(turn, run, !RunEvents.isTerminal(type))
  }
}

const setRunning = (turn: Turn, run: string, open: boolean): void => {
  if (turn.running.has(run) === open) return
  const running = new Set(turn.running)
  if (open) running.add(run)
  else running.delete(run)
  turn.running = running
}

const missing = (after: Position | undefined, received: Position): Loss => ({
  _tag: "missing",
  expected: after === undefined ? "a welcome" : PositionText.toText({ ...after, offset: after.offset + 1 }),
  received: PositionText.toText(received)
})
