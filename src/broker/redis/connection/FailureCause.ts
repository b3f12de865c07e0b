/**
 * Says why a Redis cannot be used, and what to do about it.
 *
 * What is said goes into errors and logs, so nothing of an address but its host
 * and port is part of it, and no argument of a command.
 *
 * @since 0.1.0
 */
import { ErrorReply } from "redis"

const byCode: Readonly<Record<string, string>> = {
  ENOTFOUND: "no such host is known: look at the host in the url",
  EAI_AGAIN: "the name of the host could not be looked up: look at the DNS of this machine",
  ECONNREFUSED: "nothing listens there: start the server, or look at host and port in the url",
  EHOSTUNREACH: "there is no way to that host: look at the network and its firewalls",
  ENETUNREACH: "there is no way to that network: look at the network of this machine",
  ETIMEDOUT: "there was no answer: look at firewalls between here and there, and whether the server is overloaded",
  ECONNRESET: "the connection was cut: a server that asks for TLS needs rediss:// in the url",
  EPIPE: "the connection was cut: look at the log of the server",
  ENOENT: "there is no such socket: start the server, or look at the path in the url and at its unixsocket",
  EACCES: "this process may not open the socket: look at the server's unixsocketperm",
  CERT_HAS_EXPIRED: "its certificate has expired: renew it",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another name: use that name as the host in the url",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is its own: name it in NODE_EXTRA_CA_CERTS",
  SELF_SIGNED_CERT_IN_CHAIN: "nobody here trusts the authority of its certificate: name it in NODE_EXTRA_CA_CERTS",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    "nobody here trusts the authority of its certificate: name it in NODE_EXTRA_CA_CERTS",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    "nobody here trusts the authority of its certificate: name it in NODE_EXTRA_CA_CERTS",
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak TLS: write redis:// instead of rediss:// in the url",
  ERR_SSL_PACKET_LENGTH_TOO_LONG: "it does not speak TLS: write redis:// instead of rediss:// in the url"
}

const byReply: ReadonlyArray<readonly [start: RegExp, remedy: string]> = [
  [/^WRONGPASS/u, "look at user and password in the url"],
  [/^NOAUTH/u, "it wants a password: write redis://user:password@host in the url"],
  [/^ERR AUTH|^ERR Client sent AUTH/u, "it has no password: leave it out of the url, or set one there"],
  [/^NOPERM/u, "give the user the rights that the operations page lists"],
  [/^ERR DB index/u, "it has no database of that number: look at the end of the url, and at its setting databases"],
  [/^ERR max number of clients/u, "raise its maxclients, or start fewer processes"],
  [/^(OOM|MISCONF)/u, "look at its memory and disk"],
  [/^ERR Protocol error/u, "an argument is too long for it: emit less in one event, or raise its proto-max-bulk-len"],
  [/^DENIED/u, "it is in protected mode: set a password there, or bind it to an address"]
]

/**
 * The message of what Redis answered, without arguments of a command: a server
 * that does not know a command repeats them.
 *
 * @category conversions
 * @since 0.1.0
 */
export const replyOf = (error: ErrorReply): string => error.message.replace(/,? with args beginning with:.*$/su, "")

const codeOf = (cause: unknown): string | undefined => {
  if (!(cause instanceof Error)) return undefined
  if ("code" in cause && typeof cause.code === "string") return cause.code
  return cause.constructor.name === "ConnectionTimeoutError" ? "ETIMEDOUT" : codeOf(cause.cause)
}

/**
 * One line for a cause: what it is, and what to do where that is known.
 *
 * @category conversions
 * @since 0.1.0
 */
export const whyOf = (cause: unknown): string => {
  if (cause instanceof ErrorReply) {
    const reply = replyOf(cause)
    const remedy = byReply.find(([start]) => start.test(reply))?.[1]
    return remedy === undefined ? reply : `${reply}: ${remedy}`
  }
  const code = codeOf(cause)
  const known = code === undefined ? undefined : byCode[code]
  if (known !== undefined) return `${known} (${code})`
  const message = cause instanceof Error ? cause.message : String(cause)
  return code === undefined || message.includes(code) ? message : `${message} (${code})`
}
