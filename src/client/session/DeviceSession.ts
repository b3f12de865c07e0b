/**
 * The client's side of the protocol as a state machine: no sockets, no timers,
 * no clock, no randomness. Whatever drives it tells it what happened and when,
 * does what it asks, and calls it again at `wakeAt`.
 *
 * What it promises, whatever the network does:
 *
 * - every event after the starting position is delivered once, in order, or a
 *   `Gap` item says that it will not come;
 * - an offset that is missing without such a word ends the connection, and the
 *   session resumes from the last offset before it;
 * - only what the program has handled is acknowledged, and saved;
 * - a command is kept until it is answered, and sent under one id;
 * - a server that falls silent is noticed after one and a half heartbeats.
 *
 * `step` is pure: the same state, input and time give the same result.
 *
 * @since 0.1.0
 */
import {
  abandon,
  ask,
  dial,
  greet,
  hangUp,
  hasSocket,
  onChecked,
  onClosed,
  onPause,
  onReconnect,
  onRenew,
  onToken,
  onTokenFailed,
  onWake,
  send,
  stop,
  tokenTimeoutMs,
  wait
} from "./Handshake.ts"
import { acknowledge, onAcknowledged, onHandled, onMessage, onUnacknowledged } from "./FrameHandler.ts"
import { codes } from "../../protocol/wire/CloseCode.ts"
import * as Commands from "./Commands.ts"
import * as Fallback from "./Fallback.ts"
import type { Action, Input } from "./SessionIO.ts"
import type { Moment, State, Turn } from "./SessionState.ts"
import type { Loss, Status } from "./Status.ts"
import * as Statuses from "./Status.ts"

/**
 * What a step comes to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Result {
  readonly state: State
  readonly actions: ReadonlyArray<Action>
}

/**
 * Takes one input. All that waits goes by the monotonic time of `moment`. Its wall
 * clock is for what people read, and may step: no step closes a connection,
 * lengthens or shortens a wait, or lets anything expire.
 *
 * @category transitions
 * @since 0.1.0
 */
export const step = (before: State, input: Input, { monotonic, wall }: Moment): Result => {
  const turn: Turn = { ...before, actions: [], now: monotonic, wall }
  const leapMs = wall - monotonic - before.wallAhead
  // A small difference is left out while a time is shown, so that the time stays the same; else each is taken.
  if (Math.abs(leapMs) >= leapAtLeastMs || before.phase._tag !== "Waiting") turn.wallAhead += leapMs
  if (before.phase._tag !== "Stopped") {
    take(turn, input._tag, input)
    onTime(turn)
    if (leapMs >= leapAtLeastMs && before.phase._tag === "Open") showLife(turn)
  }
  const status = statusOf(turn)
  const started = input._tag === "start" && before.phase._tag === "Idle"
  if (started || !Statuses.equals(statusOf(before), status)) {
    turn.actions.push({ _tag: "status", status })
  }
  const { actions, now: _, wall: __, ...state } = turn
  return { state, actions }
}

/** From when on the wall clock has leapt, and did not just run a little faster or slower. */
const leapAtLeastMs = 2_000

/**
 * Sends a `pong`, since the device may have slept. On some platforms the monotonic time stands still meanwhile, so the
 * session does not see how long it was. The frame keeps a connection that lives, and makes one that the server has closed
 * report its end. The wall clock closes nothing by itself: somebody may have set it forwards.
 */
const showLife = (turn: Turn): void => {
  if (turn.phase._tag === "Open") send(turn, { type: "pong" })
}

/**
 * When the session must be told of the time, as a monotonic time; `undefined` if
 * it waits for nothing.
 *
 * @category lookups
 * @since 0.1.0
 */
export const wakeAt = (state: State): number | undefined => {
  const at = Math.min(...deadlines(state).map(([at = Infinity]) => at))
  return at === Infinity ? undefined : at
}

/**
 * The status to show.
 *
 * @category lookups
 * @since 0.1.0
 */
export const statusOf = (state: State): Status => {
  const { attempt, phase, position, transport, wallAhead } = state
  switch (phase._tag) {
    case "Waiting":
      return { state: "waiting", retryAt: phase.retryAt + wallAhead, attempt, cause: phase.cause }
    case "Stopped":
      return { state: "stopped", reason: phase.reason }
    case "Open":
      if (phase.degraded) return { state: "degraded" }
      if (phase.caughtUp) return { state: "live", transport }
  }
  return { state: position === undefined ? "connecting" : "resuming" }
}

const onClose = (turn: Turn): void => {
  if (turn.phase._tag === "Open" && turn.handled !== undefined && turn.ackDue !== undefined) {
    acknowledge(turn, turn.handled)
  }
  hangUp(turn)
  stop(turn, { _tag: "closed" })
}

type Tag = Input["_tag"]

type InputOf<T extends Tag> = Extract<Input, { readonly _tag: T }>

/** What each input does to the session. */
const handlers: { readonly [T in Tag]: (turn: Turn, input: InputOf<T>) => void } = {
  start: (turn) => turn.phase._tag === "Idle" && dial(turn),
  token: onToken,
  tokenFailed: onTokenFailed,
  opened: (turn) => turn.phase._tag === "Opening" && greet(turn),
  message: onMessage,
  closed: (turn, input) => hasSocket(turn) && onClosed(turn, input),
  acknowledged: onAcknowledged,
  unacknowledged: onUnacknowledged,
  checked: onChecked,
  handled: onHandled,
  ask: Commands.onAsk,
  forget: Commands.onForget,
  tick: () => {},
  wake: onWake,
  renew: onRenew,
  reconnect: onReconnect,
  pause: onPause,
  resume: (turn) => turn.phase._tag === "Paused" && dial(turn),
  close: onClose
}

// Told its tag, it knows that handler and input are of one kind.
const take = <T extends Tag>(turn: Turn, tag: T, input: InputOf<T>): void => {
  // What is told of another connection, or answers another question, comes too late.
  const named = input._tag === "checked" ? turn.checking : turn.connection
  if ("connection" in input && input.connection !== named) return
  if ("request" in input && !(turn.asking && input.request === turn.request)) return
  handlers[tag](turn, input)
}

/** How many heartbeats without any message mean that the server is gone. */
const silentBeats = 1.5

/** What the session waits for: when it is due, if it is, and what is done then. */
type Deadline = readonly [at: number | undefined, due: (turn: Turn) => void]

const deadlines = (state: State): ReadonlyArray<Deadline> => {
  const { ackDue, config, handled, phase, renewAt } = state
  switch (phase._tag) {
    case "Asking":
      return [[phase.since + tokenTimeoutMs, (turn) => wait(turn, { _tag: "tokenFailed" })]]
    case "Opening":
    case "Greeting":
      return [[phase.since + config.connectTimeoutMs, (turn) => {
        Fallback.onFailure(turn)
        abandon(turn, { _tag: "timeout", afterMs: turn.now - phase.since }, 1000, "no welcome in time")
      }]]
    case "Open": {
      const silentAt = phase.heartbeatMs > 0 ? phase.heardAt + phase.heartbeatMs * silentBeats : undefined
      return [
        [silentAt, (turn) => abandon(turn, silence(turn.now - phase.heardAt), codes.heartbeatLost, "heartbeat lost")],
        [ackDue, (turn) => handled && acknowledge(turn, handled)],
        [renewAt, ask],
        [Commands.dueAt(state), Commands.sendDue]
      ]
    }
    case "Waiting":
      return [[phase.retryAt, dial]]
  }
  return []
}

const silence = (silentMs: number): Loss => ({ _tag: "silent", silentMs })

/** Does what is due. What ends the connection leaves nothing else to do. */
const onTime = (turn: Turn): void => {
  const { phase } = turn
  for (const [at, due] of deadlines(turn)) {
    if (at !== undefined && turn.now >= at && turn.phase === phase) due(turn)
  }
}
