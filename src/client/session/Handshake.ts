/**
 * How a session comes to a connection and what it does when it loses one.
 *
 * @since 0.1.0
 */
import { codes, nameOf, reactionTo } from "../../protocol/wire/CloseCode.ts"
import { withDefaults } from "../../protocol/values/Present.ts"
import * as Fallback from "./Fallback.ts"
import * as HttpAnswer from "../transport/HttpAnswer.ts"
import * as Reconnect from "./Reconnect.ts"
import type { ClientFrame } from "../transport/ClientFrame.ts"
import type { TokenAnswer } from "./SessionIO.ts"
import type { State, Turn } from "./SessionState.ts"
import type { Loss, StopReason } from "./Status.ts"

/** Which part of a token's time passes before it is renewed. */
const renewAtPart = 0.75

/** How many tokens in a row the server may refuse before there is no sense in another. */
const refusalsAtMost = 3

/** How far apart refusals must be for a new token to be asked for at once. */
const renewAtOnceMs = 10_000

/** How long a renewal in band that failed waits before it is tried again. */
const renewAgainMs = 5_000

/** Connects, with a token if there is one to be had. */
export const dial = (turn: Turn): void => {
  const { state } = turn
  const { token } = state
  const usable = token !== undefined && token.token !== state.refused && turn.now < token.expiresAt
  if (!state.config.hasToken || usable) return open(turn)
  state.phase = { _tag: "Asking", since: turn.now }
  ask(turn)
}

/** Asks for a token: to connect with, or to send in band. */
export const ask = (turn: Turn): void => {
  const { state } = turn
  state.request += 1
  state.asking = true
  // If the answer never comes, the renewal is tried again.
  state.renewAt = state.phase._tag === "Open" ? turn.now + state.config.tokenTimeoutMs : undefined
  turn.actions.push({ _tag: "askToken", request: state.request, refused: state.refused !== undefined })
}

const open = (turn: Turn): void => {
  const { state } = turn
  state.connection += 1
  state.reconnectAfterMs = 0
  state.lastError = undefined
  state.ackDue = undefined
  state.phase = { _tag: "Opening", since: turn.now }
  turn.actions.push({ _tag: "connect", connection: state.connection, transport: Fallback.choose(turn) })
}

/** Says hello on the socket that has just opened. */
export const greet = (turn: Turn): void => {
  const { state } = turn
  const { client, recentRuns, threads } = state.config
  const back = state.pending?.back
  // What came once is kept up by events and gaps.
  const asks = recentRuns !== undefined && (!state.welcomed || back !== undefined)
  state.phase = { _tag: "Greeting", since: turn.now }
  const hello = {
    token: state.token?.token,
    resume: back?.resume ?? state.position,
    threads,
    snapshots: asks ? recentRuns : undefined,
    client,
    accepts: ["command"]
  }
  send(turn, withDefaults<ClientFrame & { readonly type: "hello" }>({ type: "hello" }, hello))
}

/** Takes the answer to `ask`. */
export const onToken = (turn: Turn, answer: TokenAnswer | undefined): void => {
  const { state } = turn
  state.asking = false
  state.renewAt = undefined
  const connecting = state.phase._tag === "Asking"
  if (answer === undefined || answer.token === state.refused) {
    return connecting ? stop(turn, { _tag: "noToken", detail: state.lastError ?? "there is no token" }) : undefined
  }
  const changed = answer.token !== state.token?.token
  // The wall clock is asked once: how long a token lasts does not change when the clock does.
  const left = answer.expiresAt === undefined ? Infinity : answer.expiresAt - turn.wall
  state.token = { token: answer.token, expiresAt: turn.now + left }
  state.refused = undefined
  if (left > 0 && left < Infinity) state.renewAt = turn.now + Math.max(1_000, left * renewAtPart)
  if (connecting) return open(turn)
  if (!changed || state.phase._tag !== "Open") return
  if (state.transport === "websocket") return send(turn, { type: "token", token: answer.token })
  // A stream of server-sent events has its token from its request.
  leave(turn, "a new token")
  open(turn)
}

/** Takes a failure to answer `ask`; it is tried again. */
export const onTokenFailed = (turn: Turn): void => {
  turn.state.asking = false
  if (turn.state.phase._tag === "Asking") return wait(turn, { _tag: "tokenFailed" })
  turn.state.renewAt = turn.now + renewAgainMs
}

/** Renews the token in band as soon as there is a connection. */
export const onRenew = (turn: Turn): void => {
  const { state } = turn
  if (!state.config.hasToken) return
  if (state.phase._tag === "Waiting") state.token = undefined
  else if (!state.asking) state.renewAt = turn.now
}

/** Takes what the gateway answers to a plain request. */
export const onChecked = (turn: Turn, answer: HttpAnswer.HttpAnswer | undefined): void => {
  const { state } = turn
  state.checking = undefined
  if (answer === undefined) return
  const { detail, status } = answer
  const refusal = HttpAnswer.refusal(state, answer)
  if (refusal?.final === true) {
    hangUp(turn)
    return stop(turn, { _tag: "refused", code: status, name: refusal.name, detail })
  }
  const answered = status === HttpAnswer.upgradeRequired
  if (answered) Fallback.onAnswered(turn)
  const { phase } = state
  const isBlocked = answered && state.config.transports.length < 2 && state.transport === "websocket"
  const name = isBlocked ? "blocked" : refusal?.name
  if (name !== undefined && phase._tag === "Waiting" && phase.cause._tag === "closed") {
    state.phase = { ...phase, cause: { ...phase.cause, name, detail } }
  }
}

/** Takes the end of the socket, and does what its close code says. */
export const onClosed = (turn: Turn, { code, reason }: { readonly code: number; readonly reason: string }): void => {
  const { state } = turn
  const name = nameOf(code)
  const closed = { code, name, detail: state.lastError ?? (reason || (name ?? "the connection was lost")) }
  const refusal = HttpAnswer.refusal(state, { status: code })
  if (refusal?.final === true) return stop(turn, { _tag: "refused", ...closed, name: refusal.name })
  if (code === HttpAnswer.upgradeRequired && state.config.transports.length < 2) {
    return stop(turn, { _tag: "refused", ...closed, name: "upgradeRequired" })
  }
  if (name === undefined && Fallback.isOnItsWay(state)) Fallback.onFailure(turn)
  switch (reactionTo(code)) {
    case "stop":
      return stop(turn, { _tag: "refused", ...closed })
    case "renew":
      return onRefused(turn, closed)
    case "resume":
      return wait(turn, { _tag: "closed", ...closed })
  }
}

interface Closed {
  readonly code: number
  readonly name: string | undefined
  readonly detail: string
}

/**
 * The server refused the token. After the first refusal in a while a new token is
 * fetched without a wait, since the old one has most likely expired.
 */
const onRefused = (turn: Turn, closed: Closed): void => {
  const { state } = turn
  state.refusals += 1
  if (!state.config.hasToken) return stop(turn, { _tag: "refused", ...closed })
  if (state.refusals >= refusalsAtMost) {
    const detail = `${state.refusals} tokens in a row were not accepted, the last: ${closed.detail}`
    return stop(turn, { _tag: "refused", ...closed, detail })
  }
  state.refused = state.token?.token
  state.lastError = closed.detail
  if (state.reconnectAfterMs > 0 || turn.now < state.renewedAt + renewAtOnceMs) {
    return wait(turn, { _tag: "closed", ...closed })
  }
  state.renewedAt = turn.now
  dropUnfinished(turn)
  dial(turn)
}

/** Gives up the socket, for cause, and connects again later. */
export const abandon = (turn: Turn, loss: Loss, code: number, reason: string): void => {
  turn.actions.push({ _tag: "disconnect", code, reason })
  wait(turn, loss)
}

/** Waits before the next attempt. */
export const wait = (turn: Turn, cause: Loss): void => {
  const { state } = turn
  if (state.phase._tag === "Open") countLoss(turn, cause, turn.now - state.phase.since)
  const [random, seed] = Reconnect.nextRandom(state.seed)
  const [delayMs, pace] = Reconnect.next(state.config.backoff, state.pace, turn.now, random)
  const notBefore = turn.now + state.reconnectAfterMs
  state.phase = { _tag: "Waiting", retryAt: notBefore + delayMs, notBefore, cause }
  state.pace = pace
  state.seed = seed
  state.attempt += 1
  state.reconnectAfterMs = 0
  dropUnfinished(turn)
}

/**
 * A connection that had been welcomed is lost. Attempts count from 0 again, unless the server has closed several
 * connections in a row for cause, each soon after its welcome.
 */
const countLoss = ({ now, state }: Turn, cause: Loss, lastedMs: number): void => {
  state.flaps = lastedMs < state.config.backoff.stableAfterMs && isForCause(cause) ? state.flaps + 1 : 0
  if (state.flaps <= 1) state.attempt = 0
  state.pace = state.flaps <= 1
    ? { step: 0, quickUntil: now + Reconnect.quickForMs }
    : { step: state.flaps - 1, quickUntil: now }
}

/** Whether this end says that the next connection may well end the same way. */
const isForCause = (cause: Loss): boolean =>
  cause._tag === "closed"
    ? nameOf(cause.code) !== undefined && cause.code !== codes.draining && cause.code !== codes.heartbeatLost
    : cause._tag === "missing" || cause._tag === "badFrame"

/** Forgets what the connection did not finish: the next one begins with it again. */
const dropUnfinished = ({ state }: Turn): void => {
  state.asking = false
  state.position = state.pending?.back?.position ?? state.position
}

/** Gives up the connection until there is room for more. */
export const onPause = (turn: Turn): void => {
  if (!hasSocket(turn.state)) return
  leave(turn, "paused")
  turn.state.phase = { _tag: "Paused" }
}

/** Closes the socket for good, if there is one. */
export const hangUp = (turn: Turn): void => {
  if (hasSocket(turn.state)) turn.actions.push({ _tag: "disconnect", code: 1000, reason: "" })
}

/** Whether there is a socket, open or on the way. */
export const hasSocket = (state: State): boolean => Fallback.isOnItsWay(state) || state.phase._tag === "Open"

/** Ends the session for good. */
export const stop = (turn: Turn, reason: StopReason): void => {
  turn.state.phase = { _tag: "Stopped", reason }
  turn.state.asking = false
}

/** Stops waiting, as far as the server allows. */
export const onWake = ({ now, state }: Turn): void => {
  if (state.phase._tag === "Waiting") state.phase = { ...state.phase, retryAt: Math.max(now, state.phase.notBefore) }
}

/**
 * Connects again. An open connection is replaced at once. A wait ends as soon as the
 * server allows it. An attempt that is under way goes on.
 */
export const onReconnect = (turn: Turn): void => {
  if (turn.state.phase._tag !== "Open") return onWake(turn)
  leave(turn, "reconnecting")
  dial(turn)
}

/** Closes the socket, to go on later with another one. */
const leave = (turn: Turn, reason: string): void => {
  turn.actions.push({ _tag: "disconnect", code: 1000, reason })
  dropUnfinished(turn)
}

/** Writes a frame. */
export const send = (turn: Turn, frame: ClientFrame): void => {
  turn.actions.push({ _tag: "send", frame })
}
