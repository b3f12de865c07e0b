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

/** Takes a message of the socket. */
export const onMessage = (turn: Turn, data: unknown): void => {
  const { state } = turn
  if (state.phase._tag !== "Greeting" && state.phase._tag !== "Open") return
  const frame = decode(data)
  // An answer may come by a request of its own, and is no word of the stream.
  if (state.phase._tag === "Open" && frame.type !== "command") state.phase = { ...state.phase, heardAt: turn.now }
  const loss = frame.type === "bad" ? badFrame(frame.detail) : onFrame(turn, frame)
  if (loss !== undefined) return abandon(turn, loss, 4400, "protocol violation")
  catchUp(turn)
  settle(turn)
}

const badFrame = (detail: string): Loss => ({ _tag: "badFrame", detail })

const onFrame = (turn: Turn, frame: ServerFrame): Loss | undefined => {
  const { state } = turn
  const welcomed = state.phase._tag === "Open"
  switch (frame.type) {
    case "goodbye":
      state.reconnectAfterMs = frame.reconnectAfterMs
      return
    case "error":
      state.lastError = `${frame.code}: ${frame.message}`
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
      if (state.phase._tag !== "Open") return
      state.phase = { ...state.phase, degraded: frame.state === "degraded" }
      // What nobody could decide meanwhile is asked again.
      if (!state.phase.degraded) Commands.onReady(turn)
      return
    case "command":
      Commands.onAnswer(turn, frame)
      return
  }
}

const onWelcome = (turn: Turn, frame: Extract<ServerFrame, { readonly type: "welcome" }>): Loss | undefined => {
  const { state } = turn
  const { epoch, heartbeatMs, offset, snapshots } = frame
  const resumed = state.pending?.back?.resume ?? state.position
  if (resumed !== undefined && frame.recovered && resumed.epoch !== epoch) {
    return badFrame("the welcome recovered a position of another epoch")
  }
  state.phase = {
    _tag: "Open",
    since: turn.now,
    heardAt: turn.now,
    heartbeatMs,
    epoch,
    head: offset,
    caughtUp: false,
    degraded: false
  }
  state.accepts = frame.accepts ?? []
  Commands.onReady(turn)
  state.acked = -1
  // What the connection before was told may have been lost with it.
  state.confirms = [...state.named, ...state.confirms]
  state.named = []
  state.refusals = 0
  state.welcomed = true
  Fallback.onWelcome(turn)
  // A log that can serve the position again leaves no gap, so no snapshots come but those that were asked for.
  if (frame.recovered) awaitSnapshots(turn, 0)
  if (frame.recovered && state.position !== undefined && resumed !== undefined) {
    awaitSnapshots(turn, snapshots, { position: state.position, resume: resumed })
  }
  if (state.position === undefined) {
    state.position = { epoch, offset }
    state.handled = state.position
    state.acked = offset
    awaitSnapshots(turn, snapshots, { position: state.position, resume: earliest })
    turn.actions.push({ _tag: "save", position: state.position })
  } else if (state.handled?.epoch === epoch && state.handled.offset > 0) {
    // The last acknowledgement may have been lost with its connection.
    acknowledge(turn, state.handled)
  }
  return undefined
}

// Runs that were told of in the welcome are here only once their snapshots are.
const catchUp = ({ state }: Turn): void => {
  const { pending, phase, position } = state
  if (phase._tag !== "Open" || phase.caughtUp || position === undefined) return
  if (pending !== undefined && pending.left > 0) return
  if (position.epoch === phase.epoch && position.offset >= phase.head) state.phase = { ...phase, caughtUp: true }
}

/** The program has handled everything up to this position. */
export const onHandled = (turn: Turn, position: Position): void => {
  const { state } = turn
  if (position.epoch !== state.position?.epoch) return
  if (state.handled?.epoch === position.epoch && position.offset <= state.handled.offset) return
  state.handled = position
  turn.actions.push({ _tag: "save", position })
  if (state.phase._tag !== "Open" || state.phase.epoch !== position.epoch || position.offset <= state.acked) return
  const { ackAtMostEveryMs, ackEveryMs } = state.config
  const asked = state.confirms.some((offset) => offset <= position.offset)
  const due = asked ? Math.max(turn.now, state.ackedAt + ackAtMostEveryMs) : turn.now + ackEveryMs
  state.ackDue = Math.min(state.ackDue ?? due, due)
}

/**
 * Tells the server that everything up to here was handled, and which events of that ask for a confirmation. Over HTTP
 * one may overtake another or be lost, so each names what is not known to have arrived.
 */
export const acknowledge = (turn: Turn, { epoch, offset }: Position): void => {
  const { state } = turn
  const uncertain = state.transport === "sse" ? state.named : []
  const handled = [...uncertain, ...state.confirms.filter((confirm) => confirm <= offset)]
  const confirmed = handled.slice(0, maxConfirmed)
  state.acked = offset
  state.ackedAt = turn.now
  state.ackDue = handled.length > maxConfirmed ? turn.now + state.config.ackAtMostEveryMs : undefined
  state.confirms = state.confirms.filter((confirm) => !confirmed.includes(confirm))
  state.named = [...state.named.filter((named) => !confirmed.includes(named)), ...confirmed].slice(-maxConfirmed)
  send(turn, { type: "ack", offset, epoch, ...(confirmed.length === 0 ? {} : { confirmed }) })
}

/** These were confirmed: they need not be named again. */
export const onAcknowledged = ({ state }: Turn, confirmed: ReadonlyArray<number>): void => {
  state.named = state.named.filter((named) => !confirmed.includes(named))
}

/** The last acknowledgement did not arrive: another one follows after a while. */
export const onUnacknowledged = ({ now, state }: Turn): void => {
  if (state.phase._tag !== "Open" || state.handled?.epoch !== state.phase.epoch) return
  state.ackDue ??= now + state.config.ackEveryMs
}
