/**
 * The page's end of the AI SDK: a chat transport over a connection of this package.
 *
 * ```ts
 * import { EmitterChatTransport } from "effect-emitter/ai-sdk/client"
 *
 * const transport = new EmitterChatTransport({ url: "wss://example.org/events", api: "https://example.org/api/chat" })
 * // in a component: const chat = useChat({ id: "t1", transport, resume: true })
 * transport.close()
 * ```
 *
 * - One connection brings the runs of all chats. It comes back by itself, and a stream
 *   that was open goes on where it was.
 * - `stop` of `useChat` is a command: the run ends, for all devices, as cancelled.
 *   `useChat` also stops when its component goes; a `Chat` that the page made itself and
 *   hands over (`useChat({ chat })`) goes on.
 * - `resume` shows the active run of the chat, with all that came before. `watch` tells of
 *   runs that something else began: another tab, another device, the program.
 *
 * @since 0.2.0
 */
import type { Json } from "effect/Schema"
import type { Connection, ConnectOptions } from "../../client/driver/ConnectOptions.ts"
import type { AskOptions } from "../../client/driver/RunCommands.ts"
import type { Run } from "../../client/driver/RunStore.ts"
import type * as Command from "../../protocol/command/Command.ts"
import * as RunConnection from "../RunConnection.ts"
import * as RunRequest from "../RunRequest.ts"
import { isEnd, type RunItem } from "../RunItem.ts"
import type { UiMessage, UiMessageChunk } from "./UiMessage.ts"
import { UiMessageStream } from "./UiMessageStream.ts"

/**
 * Options, besides those of `connect`, of which `threads` and `catalog` are the
 * transport's own:
 *
 * - `api`: where a run is asked for, the `path` of `AiSdk.layer`; `"/api/chat"` by
 *   default.
 * - `headers`, `body` and `credentials` of these requests. A token that `connect` is given
 *   as a text or by a function goes along, as `Authorization`.
 * - `send` asks for a run in place of all that, for programs with a route of their own:
 *   it has to begin the run `runId` in the thread `chatId`.
 * - `abort`: what an abort of the chat means. `"cancel"` (default) ends the run, `"leave"`
 *   only stops showing it.
 *
 * @category options
 * @since 0.2.0
 */
export interface ChatOptions extends Omit<ConnectOptions, "catalog" | "threads"> {
  readonly api?: string | undefined
  readonly headers?: RunRequest.GivenHeaders
  readonly body?: object | undefined
  readonly credentials?: RequestCredentials | undefined
  readonly send?: ((request: SendRequest) => Promise<void>) | undefined
  readonly abort?: "cancel" | "leave" | undefined
}

/**
 * What is sent for an answer.
 *
 * @category models
 * @since 0.2.0
 */
export interface SendRequest {
  readonly runId: string
  readonly chatId: string
  readonly trigger: "submit-message" | "regenerate-message"
  readonly messageId: string | undefined
  readonly messages: ReadonlyArray<UiMessage>
  readonly headers: Headers
  readonly body: object
  readonly metadata: unknown
  readonly signal: AbortSignal | undefined
}

/**
 * What the SDK hands over.
 *
 * @category models
 * @since 0.2.0
 */
export interface SendOptions {
  readonly trigger: "submit-message" | "regenerate-message"
  readonly chatId: string
  readonly messageId: string | undefined
  readonly messages: ReadonlyArray<UiMessage>
  readonly abortSignal: AbortSignal | undefined
  readonly headers?: HeadersInit | undefined
  readonly body?: object | undefined
  readonly metadata?: unknown
}

/** Somebody reads a run of a chat. */
interface Reader extends RunConnection.RunReader {
  readonly chatId: string
}

/**
 * A `ChatTransport` of the AI SDK.
 *
 * - `connection` is the one that it keeps: its status, its runs, their commands.
 * - `answer` answers what a run of a chat asks: `requestId` is the `approvalId` of a tool
 *   call that waits (then `value` is `true` or `false`, or `{ approved, reason }`), or the
 *   `requestId` in a `data-request`.
 * - `watch` calls when a run of the chat is active that this transport does not show and has
 *   not begun, such as `() => void resumeStream()`. It returns what ends that.
 *
 * @category transports
 * @since 0.2.0
 */
export class EmitterChatTransport {
  /** A reconnect gives the whole message anew. */
  readonly resumeStreamIsReplay = true
  readonly connection: Connection
  readonly #options: ChatOptions
  readonly #readers: Set<Reader>
  /** The runs that were begun here. */
  readonly #begun = new Set<string>()
  /** Which reader of a chat came last. */
  readonly #turns = new Map<string, number>()

  constructor(options: ChatOptions) {
    this.#options = options
    const { connection, readers } = RunConnection.open<Reader>(options)
    this.connection = connection
    this.#readers = readers
  }

  /** Asks for a run, and gives it. */
  readonly sendMessages = async (options: SendOptions): Promise<ReadableStream<UiMessageChunk>> => {
    const { abortSignal, chatId } = options
    this.#turn(chatId)
    abortSignal?.throwIfAborted()
    RunConnection.throwIfStopped(this.connection)
    const runId = `ui-${crypto.getRandomValues(new Uint32Array(4)).join("-")}`
    this.#begun.add(runId)
    const { open, stream } = this.#read(runId, chatId, abortSignal)
    open()
    try {
      await this.#send(runId, options)
    } catch (error) {
      await stream.cancel()
      throw error
    }
    return stream
  }

  /** The active run of a chat that began last, from its beginning, or nothing. */
  readonly reconnectToStream = async (
    { abortSignal, chatId }: { readonly chatId: string; readonly abortSignal?: AbortSignal | undefined }
  ): Promise<ReadableStream<UiMessageChunk> | null> => {
    this.#turn(chatId)
    await RunConnection.caughtUp(this.connection, abortSignal)
    abortSignal?.throwIfAborted()
    const run = newest(this.connection.runs.inThread(chatId).getSnapshot())
    if (run === undefined) return null
    const { id, ...state } = run
    const { open, stream } = this.#read(id, chatId, abortSignal)
    const position = this.connection.position() ?? { epoch: "", offset: 0 }
    open({ _tag: "Snapshot", position, state })
    return stream
  }

  readonly answer = async (
    chatId: string,
    requestId: string,
    value: Json,
    options?: AskOptions
  ): Promise<Command.Outcome> => {
    const run = this.connection.runs.inThread(chatId).getSnapshot().find(({ parts, status }) =>
      status === "active" && parts.some((part) => part.type === "request" && part.requestId === requestId)
    )
    return run === undefined
      ? { outcome: "refused", reason: "unknownRun" }
      : await this.connection.run(run.id).answer(requestId, value, options)
  }

  readonly watch = (chatId: string, onRun: () => void): () => void => {
    const told = new Set<string>()
    const runs = this.connection.runs.inThread(chatId)
    const look = (): void => {
      const run = newest(runs.getSnapshot())
      if (run === undefined || told.has(run.id) || this.#begun.has(run.id)) return
      told.add(run.id)
      if (!Array.from(this.#readers).some((reader) => reader.run === run.id)) onRun()
    }
    look()
    return runs.subscribe(look)
  }

  readonly close = (): void => this.connection.close()

  #turn(chatId: string): number {
    const turn = (this.#turns.get(chatId) ?? 0) + 1
    this.#turns.set(chatId, turn)
    return turn
  }

  #read(run: string, chatId: string, signal: AbortSignal | undefined): {
    readonly stream: ReadableStream<UiMessageChunk>
    readonly open: (first?: RunItem) => void
  } {
    const parts = new UiMessageStream(run)
    let controller: ReadableStreamDefaultController<UiMessageChunk> | undefined
    const leave = (): void => {
      this.#readers.delete(reader)
      signal?.removeEventListener("abort", abort)
    }
    const reader: Reader = {
      run,
      chatId,
      take: (item) => {
        for (const part of parts.take(item)) controller?.enqueue(part)
        if (!isEnd(item)) return
        leave()
        controller?.close()
      },
      fail: (error) => {
        leave()
        controller?.error(error)
      }
    }
    const abort = (): void => {
      const turn = this.#turns.get(chatId)
      reader.fail(signal?.reason)
      if (this.#options.abort === "leave") return
      // A chat that resumes aborts what it showed before: then it goes on in this very turn.
      queueMicrotask(() => {
        if (this.#turns.get(chatId) !== turn) return
        RunConnection.stop(this.connection, run).catch((error: unknown) => this.#options.onError?.(error))
      })
    }
    const stream = new ReadableStream<UiMessageChunk>({
      start: (given) => {
        controller = given
      },
      cancel: leave
    })
    const open = (first?: RunItem): void => {
      this.#readers.add(reader)
      signal?.addEventListener("abort", abort)
      if (first !== undefined) reader.take(first)
    }
    return { stream, open }
  }

  async #send(runId: string, options: SendOptions): Promise<void> {
    const { abortSignal: signal, chatId, messageId, messages, metadata, trigger } = options
    const { api = "/api/chat", body, headers: given, send } = this.#options
    const headers = await RunRequest.headersOf(given, signal)
    new Headers(options.headers).forEach((value, name) => headers.set(name, value))
    const bodyOf = { ...body, ...options.body }
    if (send !== undefined) {
      return await send({ runId, chatId, trigger, messageId, messages, headers, body: bodyOf, metadata, signal })
    }
    const asked = { ...bodyOf, id: chatId, runId, trigger, messageId, messages }
    await RunRequest.post(
      api,
      { accept: "application/json", body: asked, headers, signal, what: "chat" },
      this.#options
    )
  }
}

const newest = (runs: ReadonlyArray<Run>): Run | undefined =>
  runs.filter(({ status }) => status === "active").toSorted((a, b) => (b.startedAt ?? 0) - (a.startedAt ?? 0))[0]
