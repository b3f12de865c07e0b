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

/** How long the answer to `ask` may take. */
export const tokenTimeoutMs = 30_000

/** How long a renewal in band that failed waits before it is tried again. */
const renewAgainMs = 5_000

/** Why a connection is closed that another one takes the place of: it may only look alive. */
export const reconnecting = "reconnecting"

/** Connects, with a token if there is one to be had. */
export const dial = (turn: Turn): void => {
  const { token } = turn
  const usable = token !== undefined && token.token !== turn.refused && turn.now < token.expiresAt
  if (!turn.config.hasToken || usable) return open(turn)
  turn.phase = { _tag: "Asking", since: turn.now }
  ask(turn)
}

/** Asks for a token: to connect with, or to send in band. */
export const ask = (turn: Turn): void => {
  turn.request += 1
  turn.asking = true
  // If the answer never comes, the renewal is tried again.
  turn.renewAt = turn.phase._tag === "Open" ? turn.now + tokenTimeoutMs : undefined
  turn.actions.push({ _tag: "askToken", request: turn.request })
}

const open = (turn: Turn): void => {
  turn.connection += 1
  turn.reconnectAfterMs = 0
  turn.lastError = undefined
  turn.ackDue = undefined
  turn.phase = { _tag: "Opening", since: turn.now }
  turn.actions.push({ _tag: "connect", connection: turn.connection, transport: Fallback.choose(turn) })
}

/** Says hello on the socket that has just opened. */
export const greet = (turn: Turn): void => {
  const { client, recentRuns, threads } = turn.config
  const back = turn.pending?.back
  // What came once is kept up by events and gaps.
  const asks = recentRuns !== undefined && (!turn.welcomed || back !== undefined)
  turn.phase = { _tag: "Greeting", since: turn.now }
  const hello = {
    token: turn.token?.token,
    resume: back?.resume ?? turn.position,
    threads,
    snapshots: asks ? recentRuns : undefined,
    client,
    accepts: ["command"]
  }
  send(turn, withDefaults<ClientFrame & { readonly type: "hello" }>({ type: "hello" }, hello))
}

/** Takes the answer to `ask`. */
export const onToken = (turn: Turn, { answer }: { readonly answer: TokenAnswer | undefined }): void => {
  turn.asking = false
  turn.renewAt = undefined
  const connecting = turn.phase._tag === "Asking"
  if (answer === undefined || answer.token === turn.refused) {
    return connecting ? stop(turn, { _tag: "noToken", detail: turn.lastError ?? "there is no token" }) : undefined
  }
  const changed = answer.token !== turn.token?.token
  // The wall clock is asked once: how long a token lasts does not change when the clock does.
  const left = answer.expiresAt === undefined ? Infinity : answer.expiresAt - turn.wall
  turn.token = { token: answer.token, expiresAt: turn.now + left }
  turn.refused = undefined
  if (left > 0 && left < Infinity) turn.renewAt = turn.now + Math.max(1_000, left * renewAtPart)
  if (connecting) return open(turn)
  if (!changed || turn.phase._tag !== "Open") return
  if (turn.transport === "websocket") return send(turn, { type: "token", token: answer.token })
  // A stream of server-sent events has its token from its request.
  leave(turn, "a new token")
  open(turn)
}

/** Takes a failure to answer `ask`; it is tried again. */
export const onTokenFailed = (turn: Turn): void => {
  turn.asking = false
  if (turn.phase._tag === "Asking") return wait(turn, { _tag: "tokenFailed" })
  turn.renewAt = turn.now + renewAgainMs
}

/** Renews the token in band as soon as there is a connection. */
export const onRenew = (turn: Turn): void => {
  if (!turn.config.hasToken) return
  if (turn.phase._tag === "Waiting") turn.token = undefined
  else if (!turn.asking) turn.renewAt = turn.now
}

/** Takes what the gateway answers to a plain request. */
export const onChecked = (
  turn: Turn,
  { answer }: { readonly answer: HttpAnswer.HttpAnswer | undefined }
): void => {
  turn.checking = undefined
  if (answer === undefined) return
  const { detail, status } = answer
  const refusal = HttpAnswer.refusal(turn, answer)
  if (refusal?.final === true) {
    hangUp(turn)
    return stop(turn, { _tag: "refused", code: status, name: refusal.name, detail })
  }
  const answered = status === HttpAnswer.upgradeRequired
  if (answered) Fallback.onAnswered(turn)
  const { phase } = turn
  const isBlocked = answered && turn.config.transports.length < 2 && turn.transport === "websocket"
  const name = isBlocked ? "blocked" : refusal?.name
  if (name !== undefined && phase._tag === "Waiting" && phase.cause._tag === "closed") {
    turn.phase = { ...phase, cause: { ...phase.cause, name, detail } }
  }
}

/** Takes the end of the socket, and does what its close code says. */
export const onClosed = (turn: Turn, { code, reason }: { readonly code: number; readonly reason: string }): void => {
  const name = nameOf(code)
  const closed = { code, name, detail: turn.lastError ?? (reason || (name ?? "the connection was lost")) }
  const refusal = HttpAnswer.refusal(turn, { status: code })
  if (refusal?.final === true) return stop(turn, { _tag: "refused", ...closed, name: refusal.name })
  if (code === HttpAnswer.upgradeRequired && turn.config.transports.length < 2) {
    return stop(turn, { _tag: "refused", ...closed, name: "upgradeRequired" })
  }
  if (name === undefined && Fallback.isOnItsWay(turn)) Fallback.onFailure(turn)
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
  turn.refusals += 1
  if (!turn.config.hasToken) return stop(turn, { _tag: "refused", ...closed })
  if (turn.refusals >= refusalsAtMost) {
    const detail = `${turn.refusals} tokens in a row were not accepted, the last: ${closed.detail}`
    return stop(turn, { _tag: "refused", ...closed, detail })
  }
  turn.refused = turn.token?.token
  turn.lastError = closed.detail
  if (turn.reconnectAfterMs > 0 || turn.now < turn.renewedAt + renewAtOnceMs) {
    return wait(turn, { _tag: "closed", ...closed })
  }
  turn.renewedAt = turn.now
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
  if (turn.phase._tag === "Open") countLoss(turn, cause, turn.now - turn.phase.since)
  const [random, seed] = Reconnect.nextRandom(turn.seed)
  const [delayMs, pace] = Reconnect.next(turn.config.backoff, turn.pace, turn.now, random)
  const notBefore = turn.now + turn.reconnectAfterMs
  turn.phase = { _tag: "Waiting", retryAt: notBefore + delayMs, notBefore, cause }
  turn.pace = pace
  turn.seed = seed
  turn.attempt += 1
  turn.reconnectAfterMs = 0
  dropUnfinished(turn)
}

/**
 * A connection that had been welcomed is lost. Attempts count from 0 again, unless the server has closed several
 * connections in a row for cause, each soon after its welcome.
 */
const countLoss = (turn: Turn, cause: Loss, lastedMs: number): void => {
  turn.flaps = lastedMs < turn.config.backoff.stableAfterMs && isForCause(cause) ? turn.flaps + 1 : 0
  if (turn.flaps <= 1) turn.attempt = 0
  turn.pace = turn.flaps <= 1
    ? { step: 0, quickUntil: turn.now + Reconnect.quickForMs }
    : { step: turn.flaps - 1, quickUntil: turn.now }
}

/** Whether this end says that the next connection may well end the same way. */
const isForCause = (cause: Loss): boolean =>
  cause._tag === "closed"
    ? nameOf(cause.code) !== undefined && cause.code !== codes.draining && cause.code !== codes.heartbeatLost
    : cause._tag === "missing" || cause._tag === "badFrame"

/** Forgets what the connection did not finish: the next one begins with it again. */
const dropUnfinished = (turn: Turn): void => {
  turn.asking = false
  turn.position = turn.pending?.back?.position ?? turn.position
}

/** Gives up the connection until there is room for more. */
export const onPause = (turn: Turn): void => {
  if (!hasSocket(turn)) return
  leave(turn, "paused")
  turn.phase = { _tag: "Paused" }
}

/** Closes the socket for good, if there is one. */
export const hangUp = (turn: Turn): void => {
  if (hasSocket(turn)) turn.actions.push({ _tag: "disconnect", code: 1000, reason: "" })
}

/** Whether there is a socket, open or on the way. */
export const hasSocket = (state: State): boolean => Fallback.isOnItsWay(state) || state.phase._tag === "Open"

/** Ends the session for good. */
export const stop = (turn: Turn, reason: StopReason): void => {
  turn.phase = { _tag: "Stopped", reason }
  turn.asking = false
}

/** Stops waiting, as far as the server allows. */
export const onWake = (turn: Turn): void => {
  if (turn.phase._tag === "Waiting") turn.phase = { ...turn.phase, retryAt: Math.max(turn.now, turn.phase.notBefore) }
}

/**
 * Connects again. An open connection is replaced at once. A wait ends as soon as the
 * server allows it. An attempt that is under way goes on.
 */
export const onReconnect = (turn: Turn): void => {
  if (turn.phase._tag !== "Open") return onWake(turn)
  leave(turn, reconnecting)
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
