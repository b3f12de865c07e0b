/**
 * Handles the server's frames, and decides what is acknowledged, and when.
 *
 * @since 0.1.0
 */
import type { Position } from "../../protocol/values/Position.ts"
import { maxConfirmed } from "../../protocol/values/WireLimits.ts"
import { abandon, send } from "./Handshake.ts"
import * as Commands from "./Commands.ts"
import * as Fallback from "./Fallback.ts"
import { awaitSnapshots, onEvents, onGap, onSnapshot, settle } from "./Sequencing.ts"
import { earliest, type Turn } from "./SessionState.ts"
import type { Loss } from "./Status.ts"
import type { ServerFrame } from "../transport/ServerFrames.ts"
import { decode } from "../transport/ServerFrames.ts"

/** How long an acknowledgement may wait. */
const ackEveryMs = 1_000

/**
 * How far apart acknowledgements are, even if each event asks for one at once: servers limit the frames they take.
 */
const ackAtMostEveryMs = 50

/** Takes a message of the socket. */
export const onMessage = (turn: Turn, { data }: { readonly data: unknown }): void => {
  if (turn.phase._tag !== "Greeting" && turn.phase._tag !== "Open") return
  const frame = decode(data)
  // An answer may come by a request of its own, and is no word of the stream.
  if (turn.phase._tag === "Open" && frame.type !== "command") turn.phase = { ...turn.phase, heardAt: turn.now }
  const loss = frame.type === "bad" ? badFrame(frame.detail) : onFrame(turn, frame)
  if (loss !== undefined) return abandon(turn, loss, 4400, "protocol violation")
  catchUp(turn)
  settle(turn)
}

const badFrame = (detail: string): Loss => ({ _tag: "badFrame", detail })

const onFrame = (turn: Turn, frame: ServerFrame): Loss | undefined => {
  const welcomed = turn.phase._tag === "Open"
  switch (frame.type) {
    case "goodbye":
      turn.reconnectAfterMs = frame.reconnectAfterMs
      return
    case "error":
      turn.lastError = `${frame.code}: ${frame.message}`
      return
    case "ping":
      send(turn, { type: "pong" })
      return
    case "welcome":
      return welcomed ? badFrame("a second welcome came") : onWelcome(turn, frame)
  }
  if (!welcomed) return badFrame(`${frame.type} came before the welcome`)
  switch (frame.type) {
    case "events":
      return onEvents(turn, frame)
    case "gap":
      return onGap(turn, frame)
    case "snapshot":
      return onSnapshot(turn, frame)
    case "status":
      if (turn.phase._tag !== "Open") return
      turn.phase = { ...turn.phase, degraded: frame.state === "degraded" }
      // What nobody could decide meanwhile is asked again.
      if (!turn.phase.degraded) Commands.onReady(turn)
      return
    case "command":
      Commands.onAnswer(turn, frame)
      return
  }
}

const onWelcome = (turn: Turn, frame: Extract<ServerFrame, { readonly type: "welcome" }>): Loss | undefined => {
  const { epoch, heartbeatMs, offset, snapshots } = frame
  const resumed = turn.pending?.back?.resume ?? turn.position
  if (resumed !== undefined && frame.recovered && resumed.epoch !== epoch) {
    return badFrame("the welcome recovered a position of another epoch")
  }
  turn.phase = {
    _tag: "Open",
    since: turn.now,
    heardAt: turn.now,
    heartbeatMs,
    epoch,
    head: offset,
    caughtUp: false,
    degraded: false
  }
  turn.accepts = frame.accepts ?? []
  Commands.onReady(turn)
  turn.acked = -1
  // What the connection before was told may have been lost with it.
  turn.confirms = [...turn.named, ...turn.confirms]
  turn.named = []
  turn.refusals = 0
  turn.welcomed = true
  Fallback.onWelcome(turn)
  // A log that can serve the position again leaves no gap, so no snapshots come but those that were asked for.
  if (frame.recovered) awaitSnapshots(turn, 0)
  if (frame.recovered && turn.position !== undefined && resumed !== undefined) {
    awaitSnapshots(turn, snapshots, { position: turn.position, resume: resumed })
  }
  if (turn.position === undefined) {
    turn.position = { epoch, offset }
    turn.handled = turn.position
    turn.acked = offset
    awaitSnapshots(turn, snapshots, { position: turn.position, resume: earliest })
    turn.actions.push({ _tag: "save", position: turn.position })
  } else if (turn.handled?.epoch === epoch && turn.handled.offset > 0) {
    // The last acknowledgement may have been lost with its connection.
    acknowledge(turn, turn.handled)
  }
  return undefined
}

// Runs that were told of in the welcome are here only once their snapshots are.
const catchUp = (turn: Turn): void => {
  const { pending, phase, position } = turn
  if (phase._tag !== "Open" || phase.caughtUp || position === undefined) return
  if (pending !== undefined && pending.left > 0) return
  if (position.epoch === phase.epoch && position.offset >= phase.head) turn.phase = { ...phase, caughtUp: true }
}

/** The program has handled everything up to this position. */
export const onHandled = (turn: Turn, { position }: { readonly position: Position }): void => {
  if (position.epoch !== turn.position?.epoch) return
  if (turn.handled?.epoch === position.epoch && position.offset <= turn.handled.offset) return
  turn.handled = position
  turn.actions.push({ _tag: "save", position })
  if (turn.phase._tag !== "Open" || turn.phase.epoch !== position.epoch || position.offset <= turn.acked) return
  const asked = turn.confirms.some((offset) => offset <= position.offset)
  const due = asked ? Math.max(turn.now, turn.ackedAt + ackAtMostEveryMs) : turn.now + ackEveryMs
  turn.ackDue = Math.min(turn.ackDue ?? due, due)
}

/**
 * Tells the server that everything up to here was handled, and which events of that ask for a confirmation. Over HTTP
 * one may overtake another or be lost, so each names what is not known to have arrived.
 */
export const acknowledge = (turn: Turn, { epoch, offset }: Position): void => {
  const uncertain = turn.transport === "sse" ? turn.named : []
  const handled = [...uncertain, ...turn.confirms.filter((confirm) => confirm <= offset)]
  const confirmed = handled.slice(0, maxConfirmed)
  turn.acked = offset
  turn.ackedAt = turn.now
  turn.ackDue = handled.length > maxConfirmed ? turn.now + ackAtMostEveryMs : undefined
  turn.confirms = turn.confirms.filter((confirm) => !confirmed.includes(confirm))
  turn.named = [...turn.named.filter((named) => !confirmed.includes(named)), ...confirmed].slice(-maxConfirmed)
  send(turn, { type: "ack", offset, epoch, ...(confirmed.length === 0 ? {} : { confirmed }) })
}

/** These were confirmed: they need not be named again. */
export const onAcknowledged = (turn: Turn, { confirmed }: { readonly confirmed: ReadonlyArray<number> }): void => {
  turn.named = turn.named.filter((named) => !confirmed.includes(named))
}

/** The last acknowledgement did not arrive: another one follows after a while. */
export const onUnacknowledged = (turn: Turn): void => {
  if (turn.phase._tag !== "Open" || turn.handled?.epoch !== turn.phase.epoch) return
  turn.ackDue ??= turn.now + ackEveryMs
}
