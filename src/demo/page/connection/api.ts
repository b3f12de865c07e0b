/**
 * What the page asks of its server. The token goes in a header, never into an address.
 */

/** The server refused; `message` is meant for the user. */
export class Refused extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** A token and when it ends, in milliseconds since the Unix epoch. */
export interface Token {
  readonly token: string
  readonly expiresAt: number
}

const post = async (path: string, body: unknown, token?: string): Promise<Record<string, unknown>> => {
  let response: Response
  try {
    response = await fetch(path, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` })
      },
      body: JSON.stringify(body)
    })
  } catch {
    throw new Refused(0, "The server cannot be reached. Is it still running?")
  }
  const answer: unknown = await response.json().catch(() => undefined)
  const fields: Record<string, unknown> = typeof answer === "object" && answer !== null ? { ...answer } : {}
  if (!response.ok) {
    const { error } = fields
    throw new Refused(response.status, typeof error === "string" ? error : `The server answered ${response.status}.`)
  }
  return fields
}

/** What one user may ask. The token is fetched when it is first needed, and again before it ends. */
export const forUser = (user: string) => {
  let known: Token | undefined
  const fresh = async (): Promise<Token> => {
    const { expiresAt, token } = await post("/api/token", { user })
    if (typeof token !== "string" || typeof expiresAt !== "number") throw new Refused(500, "The server gave no token.")
    known = { token, expiresAt }
    return known
  }
  const current = async (): Promise<string> =>
    (known !== undefined && known.expiresAt - Date.now() > 10_000 ? known : await fresh()).token
  /** A server that was started anew does not take the old one's tokens, so a refused token is renewed once. */
  const authorized = async (path: string, body: unknown) => {
    try {
      return await post(path, body, await current())
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 401) throw error
      return await post(path, body, (await fresh()).token)
    }
  }
  /** To one process, where there are several. */
  const at = (path: string, node: string | undefined) =>
    node === undefined ? path : `${path}?node=${encodeURIComponent(node)}`
  return {
    token: fresh,
    ask: (question: string, text: string | undefined) =>
      authorized("/api/ask", { question, ...(text === undefined ? {} : { text }) }),
    /** The offsets of a run's events in the user's log. */
    logged: async (run: string): Promise<ReadonlyArray<number>> => {
      const { offsets } = await authorized("/api/logged", { run })
      return Array.isArray(offsets) ? offsets.map(Number) : []
    },
    cut: (line: string, holdMs: number, node: string | undefined) => authorized(at("/api/cut", node), { line, holdMs }),
    slow: (line: string, ms: number, node: string | undefined) => authorized(at("/api/slow", node), { line, ms }),
    kill: (node: string) => authorized(at("/api/kill", node), {}),
    stats: (node?: string) => authorized(at("/api/stats", node), {}),
    outage: (ms: number) => authorized("/api/outage", { ms })
  }
}

/** What one user may ask. */
export type Api = ReturnType<typeof forUser>
