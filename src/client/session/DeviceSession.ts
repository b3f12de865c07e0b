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
  wait
} from "./Handshake.ts"
import { acknowledge, onAcknowledged, onHandled, onMessage, onUnacknowledged } from "./FrameHandler.ts"
import * as Fallback from "./Fallback.ts"
import type { Action, Input } from "./SessionIO.ts"
import type { Moment, State, Turn } from "./SessionState.ts"
import type { Status } from "./Status.ts"
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
  const turn: Turn = { state: { ...before }, actions: [], now: monotonic, wall }
  const leapMs = wall - monotonic - before.wallAhead
  // A small difference is left out while a time is shown, so that the time stays the same; else each is taken.
  if (Math.abs(leapMs) >= leapAtLeastMs || before.phase._tag !== "Waiting") turn.state.wallAhead += leapMs
  if (before.phase._tag !== "Stopped") {
    take(turn, input)
    onTime(turn)
    if (leapMs >= leapAtLeastMs && before.phase._tag === "Open") showLife(turn)
  }
  const status = statusOf(turn.state)
  const started = input._tag === "start" && before.phase._tag === "Idle"
  if (started || !Statuses.equals(statusOf(before), status)) {
    turn.actions.push({ _tag: "status", status })
  }
  return turn
}

/** From when on the wall clock has leapt, and did not just run a little faster or slower. */
const leapAtLeastMs = 2_000

/**
 * Sends a `pong`, since the device may have slept. On some platforms the monotonic time stands still meanwhile, so the
 * session does not see how long it was. The frame keeps a connection that lives, and makes one that the server has closed
 * report its end. The wall clock closes nothing by itself: somebody may have set it forwards.
 */
const showLife = (turn: Turn): void => {
  if (turn.state.phase._tag === "Open") send(turn, { type: "pong" })
}

/**
 * When the session must be told of the time, as a monotonic time; `undefined` if
 * it waits for nothing.
 *
 * @category lookups
 * @since 0.1.0
 */
export const wakeAt = (state: State): number | undefined => {
  const at = Math.min(...deadlines(state).map((deadline) => deadline ?? Infinity))
  return at === Infinity ? undefined : at
}

/**
 * The status to show.
 *
 * @category lookups
 * @since 0.1.0
 */
export const statusOf = (state: State): Status => {
  const { phase } = state
  switch (phase._tag) {
    case "Idle":
    case "Asking":
    case "Opening":
    case "Greeting":
    case "Paused":
      return { state: state.position === undefined ? "connecting" : "resuming" }
    case "Open":
      if (phase.degraded) return { state: "degraded" }
      return phase.caughtUp ? { state: "live", transport: state.transport } : { state: "resuming" }
    case "Waiting":
      return { state: "waiting", retryAt: phase.retryAt + state.wallAhead, attempt: state.attempt, cause: phase.cause }
    case "Stopped":
      return { state: "stopped", reason: phase.reason }
  }
}

const take = (turn: Turn, input: Input): void => {
  const { state } = turn
  switch (input._tag) {
    case "start":
      return state.phase._tag === "Idle" ? dial(turn) : undefined
    case "token":
      return input.request === state.request && state.asking ? onToken(turn, input.answer) : undefined
    case "tokenFailed":
      return input.request === state.request && state.asking ? onTokenFailed(turn) : undefined
    case "opened":
      return input.connection === state.connection && state.phase._tag === "Opening" ? greet(turn) : undefined
    case "message":
      return input.connection === state.connection ? onMessage(turn, input.data) : undefined
    case "closed":
      return input.connection === state.connection && hasSocket(state) ? onClosed(turn, input) : undefined
    case "acknowledged":
      return input.connection === state.connection ? onAcknowledged(turn, input.confirmed) : undefined
    case "unacknowledged":
      return input.connection === state.connection ? onUnacknowledged(turn) : undefined
    case "checked":
      return input.connection === state.checking ? onChecked(turn, input.answer) : undefined
    case "handled":
      return onHandled(turn, input.position)
    case "wake":
      return onWake(turn)
    case "renew":
      return onRenew(turn)
    case "reconnect":
      return onReconnect(turn)
    case "pause":
      return onPause(turn)
    case "resume":
      return state.phase._tag === "Paused" ? dial(turn) : undefined
    case "close":
      return onClose(turn)
    case "tick":
      return
  }
}

const onClose = (turn: Turn): void => {
  const { state } = turn
  if (state.phase._tag === "Open" && state.handled !== undefined && state.ackDue !== undefined) {
    acknowledge(turn, state.handled)
  }
  hangUp(turn)
  stop(turn, { _tag: "closed" })
}

/** How many heartbeats without any message mean that the server is gone. */
const silentBeats = 1.5

const deadlines = (state: State): ReadonlyArray<number | undefined> => {
  const { config, phase } = state
  switch (phase._tag) {
    case "Asking":
      return [phase.since + config.tokenTimeoutMs]
    case "Opening":
    case "Greeting":
      return [phase.since + config.connectTimeoutMs]
    case "Open":
      return [
        phase.heartbeatMs > 0 ? phase.heardAt + phase.heartbeatMs * silentBeats : undefined,
        state.ackDue,
        state.renewAt
      ]
    case "Waiting":
      return [phase.retryAt]
    case "Idle":
    case "Paused":
    case "Stopped":
      return []
  }
}

const onTime = (turn: Turn): void => {
  const { state } = turn
  const { config, phase } = state
  switch (phase._tag) {
    case "Asking":
      return turn.now >= phase.since + config.tokenTimeoutMs ? wait(turn, { _tag: "tokenFailed" }) : undefined
    case "Opening":
    case "Greeting":
      if (turn.now < phase.since + config.connectTimeoutMs) return
      Fallback.onFailure(turn)
      return abandon(turn, { _tag: "timeout", afterMs: turn.now - phase.since }, 1000, "no welcome in time")
    case "Waiting":
      return turn.now >= phase.retryAt ? dial(turn) : undefined
    case "Open":
      break
    case "Idle":
    case "Paused":
    case "Stopped":
      return
  }
  const silentMs = turn.now - phase.heardAt
  if (phase.heartbeatMs > 0 && silentMs >= phase.heartbeatMs * silentBeats) {
    return abandon(turn, { _tag: "silent", silentMs }, 4501, "heartbeat lost")
  }
  if (state.ackDue !== undefined && turn.now >= state.ackDue && state.handled !== undefined) {
    acknowledge(turn, state.handled)
  }
  if (state.renewAt !== undefined && turn.now >= state.renewAt) ask(turn)
}
