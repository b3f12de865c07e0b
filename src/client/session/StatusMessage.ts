/**
 * What a person should read about a connection.
 *
 * @since 0.1.0
 */
import type { Loss, Status, StopReason } from "./Status.ts"

/**
 * How the connection stands, in plain words for the person in front of a page. It
 * names no times: `retryAt` says when a connection that is `waiting` tries again.
 * A page that does not use it does not load it.
 *
 * ```ts
 * import { connect, statusMessage } from "effect-emitter/client"
 *
 * const shown: Array<string> = []
 * const connection = connect({
 *   url: "wss://example.org/events",
 *   onEvent: () => {},
 *   onStatus: (status) => shown.push(statusMessage(status))
 * })
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const statusMessage = (status: Status): string => {
  switch (status.state) {
    case "connecting":
      return "Connecting."
    case "live":
      return "Connected."
    case "degraded":
      return "Connected, but events may be late."
    case "resuming":
      return "Reconnecting, and catching up on what was missed."
    case "waiting":
      return `${lossMessage(status.cause)} Trying again soon.`
    case "stopped":
      return stopMessage(status.reason)
  }
}

const lossMessage = (loss: Loss): string => {
  switch (loss._tag) {
    case "closed":
      return `The connection was closed: ${loss.detail}.`
    case "silent":
    case "timeout":
      return "The server does not answer."
    case "missing":
    case "badFrame":
      return "The server sent something that could not be read."
    case "tokenFailed":
      return "The sign-in could not be renewed."
  }
}

const stopMessage = (reason: StopReason): string => {
  switch (reason._tag) {
    case "closed":
      return "Disconnected."
    case "refused":
      return `The server refused the connection: ${reason.detail}.`
    case "noToken":
      return "Signed out. Please sign in again."
  }
}
