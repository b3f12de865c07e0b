/**
 * Server-sent events as a connection of the protocol. What comes is turned into
 * the frames that a WebSocket would bring, and what the session sends becomes
 * requests.
 *
 * A browser's `EventSource` can send no token but in the address, so the stream
 * is read by `fetch`. `hello` makes the request; an `ack` is a `POST` to the same
 * address, one at a time, the newest of those that wait. A `pong` is a `POST` as
 * well, and so is a `command`, whose response is the server's frame. A new token needs a
 * new stream.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 * @since 0.1.0
 */
import type { codes } from "../../protocol/wire/CloseCode.ts"
import type { fromText, toText } from "../../protocol/values/PositionText.ts"
import { jsonOf, streamRefusal, textOf, wordsOf } from "./Diagnosis.ts"
import { eventStreamParser } from "./EventStreamParser.ts"
import type { Fetch, OpenSocket, SocketListener } from "./Platform.ts"
import type { ClientFrame, CommandFrame } from "./ClientFrame.ts"

type Hello = Extract<ClientFrame, { readonly type: "hello" }>
type Ack = Extract<ClientFrame, { readonly type: "ack" }>

/** How long a gateway may take for an acknowledgement. */
const acknowledgeMs = 10_000

/** What a lost network looks like on a WebSocket. */
const lost = 1006

/**
 * What a page has loaded anyway. It is given, and not imported: what two files import a
 * bundler may split off, and then the page waits for one file more.
 *
 * @category models
 * @since 0.2.0
 */
export interface Loaded {
  readonly codes: typeof codes
  readonly fromText: typeof fromText
  readonly toText: typeof toText
}

/**
 * Opens a stream of server-sent events at an address of HTTP. The listener's `opened`
 * is called at once; the request is made with the `hello`.
 *
 * @category connections
 * @since 0.1.0
 */
export const openSse = (fetch: Fetch, url: string, listener: SocketListener, loaded: Loaded): OpenSocket => {
  const codeByName = codesByName(loaded.codes)
  const aborter = new AbortController()
  let attached: SocketListener | undefined = listener
  let authorization: Record<string, string> = {}
  let acknowledging = false
  let next: Ack | undefined
  // As the welcome named it: a sign of life says whose it is.
  let connection: string | undefined

  const finish = (code: number, reason: string): void => {
    const last = attached
    attached = undefined
    aborter.abort()
    last?.closed(code, reason)
  }

  const read = async (hello: Hello): Promise<void> => {
    const response = await fetch(addressOf(url, hello), {
      headers: {
        accept: "text/event-stream",
        ...authorization,
        ...(hello.resume === undefined ? {} : { "last-event-id": loaded.toText(hello.resume) })
      },
      cache: "no-store",
      credentials: hello.token === undefined ? "include" : "same-origin",
      signal: aborter.signal
    })
    const { body, headers, ok, status } = response
    if (!ok || body === null || headers.get("content-type")?.startsWith("text/event-stream") !== true) {
      const { code, goodbye, reason } = refusal(
        codeByName,
        status,
        headers.get("retry-after"),
        wordsOf(await response.text())
      )
      if (goodbye !== undefined) attached?.message(goodbye)
      return finish(code, reason)
    }
    const translator = new Translator(
      codeByName,
      loaded.fromText,
      hello.threads !== undefined,
      (frame) => attached?.message(frame),
      (id) => connection = id
    )
    const reader = body.getReader()
    const decoder = new TextDecoder()
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      translator.take(decoder.decode(part.value, { stream: true }))
    }
    finish(translator.code ?? lost, translator.code === undefined ? "the stream ended" : "")
  }

  const acknowledge = async (frame: Ack): Promise<void> => {
    next = frame
    if (acknowledging) return
    acknowledging = true
    while (next !== undefined) {
      const { confirmed = [] } = next
      const body = JSON.stringify(next)
      next = undefined
      if (isFinal(await post(body))) attached?.acknowledged(confirmed)
      else if (next === undefined) attached?.unacknowledged()
    }
    acknowledging = false
  }

  // Where there is no answer the session asks again. What something on the way says instead is none.
  const command = async (frame: CommandFrame): Promise<void> => {
    const response = await post(JSON.stringify(frame))
    if (response?.ok === true && textOf(jsonOf(response.text), "type") === frame.type) attached?.message(response.text)
  }

  const post = async (body: string): Promise<{ status: number; ok: boolean; text: string } | undefined> => {
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json", ...authorization },
        body,
        credentials: authorization["authorization"] === undefined ? "include" : "same-origin",
        // The last one may outlive its page.
        keepalive: true,
        signal: AbortSignal.timeout(acknowledgeMs)
      })
      const { ok, status } = response
      return { ok, status, text: await response.text() }
    } catch {
      // Whatever kept it on the way, it is sent again.
      return undefined
    }
  }

  queueMicrotask(() => attached?.opened())
  return {
    send: (frame) => {
      switch (frame.type) {
        case "hello": {
          if (frame.token !== undefined) authorization = { authorization: `Bearer ${frame.token}` }
          read(frame).catch((error: unknown) => finish(lost, String(error)))
          return
        }
        case "ack":
          void acknowledge(frame)
          return
        case "pong":
          if (connection !== undefined) void post(JSON.stringify({ type: "pong", connection }))
          return
        case "command":
          void command(frame)
          return
        case "token":
          return
      }
    },
    close: () => {
      attached = undefined
      aborter.abort()
    }
  }
}

/** Whether an acknowledgement has arrived, or never will. */
const isFinal = (response: { readonly status: number } | undefined): boolean =>
  response !== undefined && response.status < 500 && response.status !== 408 && response.status !== 429

// An empty filter is named by an empty thread: without any, all threads are meant.
const addressOf = (url: string, { snapshots, threads }: Hello): string => {
  const address = new URL(url)
  if (snapshots !== undefined) address.searchParams.set("snapshots", String(snapshots))
  for (const thread of threads?.length === 0 ? [""] : threads ?? []) address.searchParams.append("thread", thread)
  return address.href
}

/** Close codes by name, and what a gateway calls its reasons to refuse for a while. */
const codesByName = (known: typeof codes): ReadonlyMap<string, number> =>
  new Map(Object.entries({
    ...known,
    busy: draining,
    full: draining,
    unauthenticatable: draining
  }))

const draining: typeof codes.draining = 4500
const unauthenticated: typeof codes.unauthenticated = 4401

/**
 * What a WebSocket would have been closed with; the status itself where no gateway names its reason: proxies have
 * statuses of their own.
 */
const refusal = (
  codeByName: ReadonlyMap<string, number>,
  status: number,
  retryAfter: string | null,
  { code: name = "", message }: ReturnType<typeof wordsOf>
) => {
  const named = codeByName.get(name)
  const reason = named === undefined ? streamRefusal(status, message) : message ?? `HTTP status ${status}`
  const code = named ?? (status === 401 ? unauthenticated : status)
  const seconds = named === undefined ? 0 : Number(retryAfter ?? 0)
  const goodbye = seconds > 0
    ? JSON.stringify({ type: "goodbye", reason, reconnectAfterMs: Math.ceil(seconds * 1_000) })
    : undefined
  return { code, reason, goodbye }
}

/**
 * Makes frames of a stream's events. Events that came together are one `events`
 * frame.
 */
class Translator {
  /** What the server closes with, if it said so. */
  code: number | undefined
  readonly #codeByName: ReadonlyMap<string, number>
  readonly #fromText: Loaded["fromText"]
  readonly #filtered: boolean
  readonly #tell: (frame: string) => void
  readonly #welcomed: (connection: string | undefined) => void
  readonly #parse: (piece: string) => void
  #events: Array<string> = []
  #epoch = ""
  #upTo = 0

  constructor(
    codeByName: ReadonlyMap<string, number>,
    fromText: Loaded["fromText"],
    filtered: boolean,
    tell: (frame: string) => void,
    welcomed: (connection: string | undefined) => void
  ) {
    this.#codeByName = codeByName
    this.#fromText = fromText
    this.#filtered = filtered
    this.#tell = tell
    this.#welcomed = welcomed
    this.#parse = eventStreamParser({
      onIdAlone: (id) => this.#onIdAlone(id),
      onEvent: ({ data, event = "message", id }) => {
        if (event.startsWith("frame:")) this.#onFrame(event.slice("frame:".length), data)
        else this.#onEvent(id ?? "", data)
      },
      onComment: () => {
        this.#flush()
        this.#tell(`{"type":"ping"}`)
      }
    })
  }

  take(text: string): void {
    this.#parse(text)
    this.#flush()
  }

  #onFrame(type: string, data: string): void {
    this.#flush()
    if (type === "welcome") this.#welcomed(textOf(jsonOf(data), "connection"))
    if (type === "goodbye") this.code = draining
    if (type === "error") this.code = this.#codeByName.get(textOf(jsonOf(data), "code") ?? "")
    this.#tell(data)
  }

  #onEvent(id: string, data: string): void {
    this.#moveTo(id)
    this.#events.push(data)
  }

  /** What a thread filter left out moves the id alone. */
  #onIdAlone(id: string): void {
    this.#moveTo(id)
    if (this.#events.length === 0) this.#write()
  }

  #moveTo(id: string): void {
    // An id that is no position makes a frame that is none either, and the session hangs up.
    const { epoch, offset } = this.#fromText(id) ?? { epoch: "", offset: -1 }
    if (epoch !== this.#epoch) this.#flush()
    this.#epoch = epoch
    this.#upTo = offset
  }

  #flush(): void {
    if (this.#events.length > 0) this.#write()
  }

  #write(): void {
    const upTo = this.#filtered ? `"upTo":${this.#upTo},` : ""
    this.#tell(`{"type":"events","epoch":"${this.#epoch}",${upTo}"events":[${this.#events.join(",")}]}`)
    this.#events = []
  }
}
