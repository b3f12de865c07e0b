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
export const choose = (turn: Turn): TransportName => {
  const [preferred, other] = turn.config.transports
  if (other === undefined) return preferred
  if (turn.failures >= tries) {
    turn.failures = 0
    turn.transport = turn.transport === preferred ? other : preferred
    turn.preferAgainAt = turn.now + keepMs
  } else if (turn.transport !== preferred && turn.now >= turn.preferAgainAt) {
    turn.failures = tries - 1
    turn.transport = preferred
  }
  return turn.transport
}

/**
 * A connection came to nothing, and nobody said why: asks whether the gateway
 * answers, unless it is being asked already.
 *
 * @category transitions
 * @since 0.1.0
 */
export const onFailure = (turn: Turn): void => {
  turn.failing += 1
  if (turn.checking !== undefined) return
  turn.failing = 1
  turn.checking = turn.connection
  turn.actions.push({ _tag: "check", connection: turn.connection })
}

/**
 * The gateway answers a plain request, so these failures were the transport's own.
 *
 * @category transitions
 * @since 0.1.0
 */
export const onAnswered = (turn: Turn): void => {
  if (turn.config.transports.length < 2) return
  turn.failures += turn.failing
  const { phase } = turn
  if (turn.failures >= tries && phase._tag === "Waiting") {
    turn.phase = { ...phase, retryAt: Math.max(turn.now, phase.notBefore) }
  }
}

/**
 * The transport works.
 *
 * @category transitions
 * @since 0.1.0
 */
export const onWelcome = (turn: Turn): void => {
  turn.failures = 0
  turn.checking = undefined
}

/**
 * Whether a connection is on its way to its `welcome`.
 *
 * @category lookups
 * @since 0.1.0
 */
export const isOnItsWay = ({ phase }: State): boolean => phase._tag === "Opening" || phase._tag === "Greeting"
