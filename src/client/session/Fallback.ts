/**
 * Which transport a session connects by.
 *
 * - It begins with the preferred one.
 * - A connection failed by its transport if it ended, or stayed silent, before the
 *   `welcome`, without a close code of the protocol, while the gateway answers a
 *   plain request over HTTP. A proxy that lets no WebSocket through looks like
 *   this; a network or a server that is down does not.
 * - One answer of the gateway explains all failures before it, however late it
 *   comes.
 * - After two such failures in a row the next connection uses the other transport.
 * - A transport that works is kept. Ten minutes later the next connection tries the
 *   preferred one again, and goes back after a single failure. A connection that
 *   works is never closed to try.
 *
 * @since 0.1.0
 */
import type { State, Turn } from "./SessionState.ts"
import type { TransportName } from "../transport/Transports.ts"

/** How many connections in a row may fail by their transport. */
const tries = 2

/** How long the other transport is kept before the preferred one is tried again. */
const keepMs = 600_000

/**
 * Chooses the transport of the connection that is about to be opened.
 *
 * @category transitions
 * @since 0.1.0
 */
export const choose = ({ now, state }: Turn): TransportName => {
  const [preferred, other] = state.config.transports
  if (other === undefined) return preferred
  if (state.failures >= tries) {
    state.failures = 0
    state.transport = state.transport === preferred ? other : preferred
    state.preferAgainAt = now + keepMs
  } else if (state.transport !== preferred && now >= state.preferAgainAt) {
    state.failures = tries - 1
    state.transport = preferred
  }
  return state.transport
}

/**
 * A connection came to nothing, and nobody said why: asks whether the gateway
 * answers, unless it is being asked already.
 *
 * @category transitions
 * @since 0.1.0
 */
export const onFailure = ({ actions, state }: Turn): void => {
  state.failing += 1
  if (state.checking !== undefined) return
  state.failing = 1
  state.checking = state.connection
  actions.push({ _tag: "check", connection: state.connection })
}

/**
 * The gateway answers a plain request, so these failures were the transport's own.
 *
 * @category transitions
 * @since 0.1.0
 */
export const onAnswered = ({ now, state }: Turn): void => {
  if (state.config.transports.length < 2) return
  state.failures += state.failing
  const { phase } = state
  if (state.failures >= tries && phase._tag === "Waiting") {
    state.phase = { ...phase, retryAt: Math.max(now, phase.notBefore) }
  }
}

/**
 * The transport works.
 *
 * @category transitions
 * @since 0.1.0
 */
export const onWelcome = ({ state }: Turn): void => {
  state.failures = 0
  state.checking = undefined
}

/**
 * Whether a connection is on its way to its `welcome`.
 *
 * @category lookups
 * @since 0.1.0
 */
export const isOnItsWay = ({ phase }: State): boolean => phase._tag === "Opening" || phase._tag === "Greeting"
