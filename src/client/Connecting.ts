/**
 * How a session comes to a connection and what it does when it loses one.
 *
 * @since 0.1.0
 */
import { fromCode, reactionTo } from "../protocol/CloseCode.ts"
import * as Fallback from "./Fallback.ts"
import * as Reconnect from "./Reconnect.ts"
import type { ClientFrame, TokenAnswer } from "./SessionIO.ts"
import type { State, Turn } from "./SessionState.ts"
import type { Loss, StopReason } from "./Status.ts"

/** Which part of a token's time passes before it is renewed. */
const renewAtPart = 0.75

/** How long a renewal in band that failed waits before it is tried again. */
const renewAgainMs = 5_000

/** Connects, with a token if there is one to be had. */
export const dial = (turn: Turn): void => {
  const { state } = turn
  const { expiresAt, token } = state.token ?? {}
  const usable = token !== undefined && token !== state.refused &&
    (expiresAt === undefined || turn.now < expiresAt + state.skew)
  if (!state.config.hasToken || usable) return open(turn)
  state.phase = { _tag: "Asking", since: turn.now }
  ask(turn)
}

/** Asks for a token: to connect with, or to send in band. */
export const ask = (turn: Turn): void => {
  const { state } = turn
  state.request += 1
  state.asking = true
  // An answer that never comes must not be the end of all renewals.
  state.renewAt = state.phase._tag === "Open" ? turn.now + state.config.tokenTimeoutMs : undefined
  turn.actions.push({ _tag: "askToken", request: state.request, refused: state.refused !== undefined })
}

const open = (turn: Turn): void => {
  const { state } = turn
  state.connection += 1
  state.reconnectAfterMs = 0
  state.complaint = undefined
  state.ackDue = undefined
  state.phase = { _tag: "Opening", since: turn.now }
  turn.actions.push({ _tag: "connect", connection: state.connection, transport: Fallback.choose(turn) })
}

/** Says hello on the socket that has just opened. */
export const greet = (turn: Turn): void => {
  const { state } = turn
  const { client, threads } = state.config
  const resume = state.pending?.back?.resume ?? state.position
  state.phase = { _tag: "Greeting", since: turn.now }
  send(turn, {
    type: "hello",
    ...(state.token === undefined ? {} : { token: state.token.token }),
    ...(resume === undefined ? {} : { resume }),
    ...(threads === undefined ? {} : { threads }),
    ...(client === undefined ? {} : { client })
  })
}

/** Takes the answer to `ask`. */
export const onToken = (turn: Turn, answer: TokenAnswer | undefined): void => {
  const { state } = turn
  state.asking = false
  state.renewAt = undefined
  const connecting = state.phase._tag === "Asking"
  if (answer === undefined || answer.token === state.refused) {
    return connecting ? stop(turn, { _tag: "noToken", detail: state.complaint ?? "there is no token" }) : undefined
  }
  const changed = answer.token !== state.token?.token
  state.token = answer
  state.refused = undefined
  const left = answer.expiresAt === undefined ? 0 : answer.expiresAt + state.skew - turn.now
  if (left > 0) state.renewAt = turn.now + Math.max(1_000, left * renewAtPart)
  if (connecting) return open(turn)
  if (!changed || state.phase._tag !== "Open") return
  if (state.transport === "websocket") return send(turn, { type: "token", token: answer.token })
  // An event stream has its token from its request.
  turn.actions.push({ _tag: "disconnect", code: 1000, reason: "a new token" })
  letGo(turn)
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

/** Takes the end of the socket, and does what its close code says. */
export const onClosed = (turn: Turn, { code, reason }: { readonly code: number; readonly reason: string }): void => {
  const { state } = turn
  const known = fromCode(code)
  const detail = state.complaint ?? (reason === "" ? known?.meaning ?? "the connection was lost" : reason)
  const closed = { code, name: known?.name, detail }
  if (known === undefined && Fallback.isOnItsWay(state)) Fallback.onFailure(turn)
  switch (reactionTo(code)) {
    case "stop":
      return stop(turn, { _tag: "refused", ...closed })
    case "renew": {
      if (!state.config.hasToken) return stop(turn, { _tag: "refused", ...closed })
      state.refused = state.token?.token
      state.complaint = detail
      return wait(turn, { _tag: "closed", ...closed })
    }
    case "resume":
      return wait(turn, { _tag: "closed", ...closed })
  }
}

/** Gives up the socket, for cause, and connects again later. */
export const abandon = (turn: Turn, loss: Loss, code: number, reason: string): void => {
  turn.actions.push({ _tag: "disconnect", code, reason })
  wait(turn, loss)
}

/** Waits before the next attempt. */
export const wait = (turn: Turn, cause: Loss): void => {
  const { state } = turn
  const { backoff } = state.config
  if (state.phase._tag === "Open" && turn.now - state.phase.since >= backoff.stableAfterMs) state.attempt = 0
  const [random, seed] = Reconnect.nextRandom(state.seed)
  const notBefore = turn.now + state.reconnectAfterMs
  const retryAt = turn.now + Reconnect.delayMs(backoff, state.attempt, random, state.reconnectAfterMs)
  state.phase = { _tag: "Waiting", retryAt, notBefore, cause }
  state.seed = seed
  state.attempt += 1
  state.reconnectAfterMs = 0
  letGo(turn)
}

/** What the lost connection did not finish begins again with the next one. */
const letGo = ({ state }: Turn): void => {
  state.asking = false
  state.position = state.pending?.back?.position ?? state.position
}

/** Gives up the connection until there is room for more. */
export const onRest = (turn: Turn): void => {
  if (!hasSocket(turn.state)) return
  turn.actions.push({ _tag: "disconnect", code: 1000, reason: "resting" })
  turn.state.phase = { _tag: "Resting" }
  letGo(turn)
}

/** Whether there is a socket, open or on the way. */
export const hasSocket = ({ phase }: State): boolean =>
  phase._tag === "Opening" || phase._tag === "Greeting" || phase._tag === "Open"

/** Ends the session for good. */
export const stop = (turn: Turn, reason: StopReason): void => {
  turn.state.phase = { _tag: "Stopped", reason }
  turn.state.asking = false
}

/** Stops waiting, as far as the server allows. */
export const onWake = ({ now, state }: Turn): void => {
  if (state.phase._tag === "Waiting") state.phase = { ...state.phase, retryAt: Math.max(now, state.phase.notBefore) }
}

/** Writes a frame. */
export const send = (turn: Turn, frame: ClientFrame): void => {
  turn.actions.push({ _tag: "send", frame })
}
