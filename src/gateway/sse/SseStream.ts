/**
 * The same events for devices without WebSocket: server-sent events.
 *
 * Events travel one by one, each with its position as id; all other frames are
 * events whose names begin with `frame:`, which no event of a catalog can have.
 * The position of the last event comes back in `Last-Event-ID`, so a browser's
 * `EventSource` resumes by itself. Acknowledgements and signs of life are requests
 * of their own.
 *
 * A session holds the request's fiber, and is told of a device that left when
 * the network learns of it. One that does not take the end of its stream is cut.
 *
 * Where the gateway compresses, and the device takes gzip, the stream is in gzip, of
 * which each frame can be read as it comes.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 * @since 0.1.0
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import type { Connection } from "../../hub/connection/Connection.ts"
import type { CloseReason, Liveness, Message, Transport } from "../../hub/Transport.ts"
import type { ThreadId } from "../../protocol/values/Identity.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import * as Position from "../../protocol/values/Position.ts"
import type { Principal } from "../authentication/Authenticator.ts"
import type { Compressor } from "../compression/Compressor.ts"
import * as GzipStream from "../compression/GzipStream.ts"
import * as NodeResponse from "../NodeResponse.ts"
import * as CloseReasons from "../session/CloseReasons.ts"
import type { Session } from "../session/Session.ts"
import { lapsesAt, offers, open, type SessionContext } from "../session/SessionContext.ts"
import { encoder } from "./SseEncoder.ts"

const ping = ": ping\n\n"

/**
 * What a session needs of Node's response.
 *
 * @category models
 * @since 0.1.0
 */
export interface Response {
  readonly headersSent: boolean
  readonly writableLength: number
  readonly writableNeedDrain: boolean
  readonly writeHead: (status: number, headers: Readonly<Record<string, string>>) => unknown
  readonly write: (text: string | Uint8Array) => boolean
  readonly end: () => unknown
  readonly destroy: () => unknown
  readonly once: (event: "drain" | "close", listener: () => void) => unknown
}

/**
 * What a device asks for.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamRequest {
  readonly principal: Principal
  /** Headers besides those of every stream. */
  readonly headers: Readonly<Record<string, string>>
  readonly resume: Position.Position | undefined
  readonly threads: ReadonlyArray<ThreadId> | undefined
  readonly snapshots: number | undefined
}

type State =
  | { readonly _tag: "Opening"; readonly refuse: (reason: CloseReason) => void }
  | { readonly _tag: "Live"; readonly connection: Connection }
  | { readonly _tag: "Closing"; readonly since: number }

class SseSession implements Session, Transport, Liveness {
  private readonly context: SessionContext
  private readonly response: Response
  private readonly lapsesAt: number
  private readonly headers: Readonly<Record<string, string>>
  private readonly gzip: GzipStream.GzipStream | undefined
  private state: State
  private pingedAt: number
  private lastHeard: number

  constructor(
    context: SessionContext,
    response: Response,
    headers: Readonly<Record<string, string>>,
    compressor: Compressor | undefined,
    principal: Principal,
    refuse: (reason: CloseReason) => void
  ) {
    this.headers = headers
    this.gzip = compressor === undefined
      ? undefined
      : new GzipStream.GzipStream(compressor, (bytes) => void response.write(bytes))
    this.state = { _tag: "Opening", refuse }
    this.context = context
    this.response = response
    this.lapsesAt = lapsesAt(context, principal)
    this.pingedAt = Monotonic.millisUnsafe(context.clock)
    this.lastHeard = this.pingedAt
  }

  live(connection: Connection): void {
    if (this.state._tag === "Opening") this.state = { _tag: "Live", connection }
  }

  write(messages: ReadonlyArray<Message>): boolean {
    if (this.state._tag === "Closing") return true
    const { gzip, headers, response } = this
    if (!response.headersSent) response.writeHead(200, headers)
    const message = together(messages)
    if (gzip === undefined) return response.write(message)
    gzip.send(message)
    return !response.writableNeedDrain && !gzip.isBusy
  }

  whenWritable(ready: () => void): void {
    const { gzip, response } = this
    if (gzip?.isBusy !== true) response.once("drain", ready)
    else gzip.whenIdle(() => response.writableNeedDrain ? response.once("drain", ready) : ready())
  }

  // What waits to be compressed counts as it is, since that is what this process holds.
  backlog(): number {
    return this.response.writableLength + (this.gzip?.backlog ?? 0)
  }

  close(reason: CloseReason): void {
    const { state } = this
    if (state._tag === "Closing") return
    this.state = { _tag: "Closing", since: Monotonic.millisUnsafe(this.context.clock) }
    this.context.closed(reason)
    // Nothing was sent, so the request can still be refused as any other.
    if (state._tag === "Opening" && !this.response.headersSent) return state.refuse(reason)
    const { code, detail, reconnectAfterMs } = reason
    const text = reconnectAfterMs === undefined
      ? encoder.frame({ type: "error", code: code.name, message: detail })
      : `retry: ${reconnectAfterMs}\n${encoder.frame({ type: "goodbye", reason: detail, reconnectAfterMs })}`
    const { gzip, response } = this
    if (gzip === undefined) {
      response.write(text)
      response.end()
    } else {
      gzip.send(text)
      gzip.finish(() => response.end())
    }
  }

  get liveness(): Liveness {
    return this
  }

  heardAt(): number {
    return this.lastHeard
  }

  ask(): void {
    if (this.state._tag === "Live" && this.state.connection.state !== "blocked") this.write([ping])
  }

  // Programs that cannot answer, such as a browser's `EventSource`, keep their place for two heartbeats.
  isSilent(_: number, now: number): boolean {
    return now - this.lastHeard >= 2 * this.context.limits.heartbeatMs
  }

  heardElsewhere(): void {
    this.lastHeard = Monotonic.millisUnsafe(this.context.clock)
  }

  tick(now: number): void {
    const { state } = this
    // The end waits until the device has read what lies before it.
    if (state._tag === "Closing" && now - state.since >= closeTimeoutMs) return this.destroy()
    if (state._tag !== "Live") return
    if (now > this.lapsesAt) {
      return this.close(CloseReasons.expired)
    }
    state.connection.tick(now)
    if (now - this.pingedAt < this.context.limits.heartbeatMs || state.connection.state === "blocked") return
    this.pingedAt = now
    state.connection.announce()
    this.write([ping])
  }

  destroy(): void {
    this.release()
    this.response.destroy()
  }

  /** Lets go of what waits to be compressed. */
  release(): void {
    this.gzip?.end()
  }
}

// One write, since each would be a chunk of its own.
const together = (messages: ReadonlyArray<Message>): Message => {
  const [first] = messages
  if (first !== undefined && messages.length === 1) return first
  return Buffer.concat(messages.map((message) => typeof message === "string" ? Buffer.from(message) : message))
}

/** How long a device may take to read the end of its stream. */
const closeTimeoutMs = 2_000

/**
 * What a response to such a request says of itself.
 *
 * @category constants
 * @since 0.1.0
 */
export const headers = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store, no-transform",
  // Proxies that follow nginx must not hold events back.
  "x-accel-buffering": "no"
}

/**
 * What a response says of itself, on a gateway: `more` besides.
 *
 * @category getters
 * @since 0.2.0
 */
export const headersOf = (
  { compressor }: Pick<SessionContext, "compressor">,
  more: Readonly<Record<string, string>>
): Readonly<Record<string, string>> => ({
  ...headers,
  ...more,
  ...(compressor === undefined ? {} : GzipStream.variesWith(more["vary"]))
})

/**
 * Serves one device until it leaves or is sent away. When it succeeds, the
 * response has ended; when it fails, nothing was sent.
 *
 * @category constructors
 * @since 0.1.0
 */
export const serve = (
  context: SessionContext,
  request: HttpServerRequest,
  { headers: more, principal, resume, snapshots, threads }: StreamRequest
): Effect.Effect<void, CloseReasons.ServeError | StreamRefused> =>
  Effect.suspend(() => {
    const response = NodeHttpServerRequest.toServerResponse(request)
    // A connection that was kept open for further requests would hold up the server's end.
    NodeResponse.closeAfterwards(request)
    const refused = Deferred.makeUnsafe<never, StreamRefused>()
    const compressor = GzipStream.isAccepted(request.headers["accept-encoding"]) ? context.compressor : undefined
    const ofStream = { ...headersOf(context, more), ...(compressor === undefined ? {} : GzipStream.headers) }
    const session = new SseSession(context, response, ofStream, compressor, principal, (reason) => {
      Deferred.doneUnsafe(refused, Effect.fail(new StreamRefused({ reason })))
    })
    const id = context.nextId()
    const gone = NodeResponse.gone(request)
    context.add(session)
    const opened = open(
      context,
      {
        id,
        user: principal.userId,
        issuedAt: principal.issuedAt,
        resume,
        threads,
        snapshots,
        encoder,
        transport: session
      },
      (opening) => {
        const welcome = encoder.frame({ type: "welcome", connection: id, ...opening, ...offers(context) })
        const retry = `retry: ${1_000 + context.comeBackAfterMs()}\n`
        // A device that resumes has not seen what lies before the head.
        return resume === undefined ? `${retry}id: ${Position.toText(opening)}\n${welcome}` : `${retry}${welcome}`
      }
    )
    // A log that does not answer must hold up neither a device that leaves nor a server that closes.
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(Effect.raceAllFirst([opened, gone, Deferred.await(refused)])), (connection) => {
        if (connection === undefined) return Effect.void
        session.live(connection)
        return Effect.ensuring(
          restore(gone),
          Effect.andThen(context.hub.release(connection), Effect.sync(() => connection.gone()))
        )
      })
    ).pipe(Effect.ensuring(Effect.sync(() => {
      session.release()
      context.remove(session)
    })))
  })

/**
 * The stream was refused before anything was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class StreamRefused extends Data.TaggedError("StreamRefused")<{ readonly reason: CloseReason }> {
  override get message() {
    return this.reason.detail
  }
}
