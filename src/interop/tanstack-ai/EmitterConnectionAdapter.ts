/**
 * The page's end of TanStack AI: a connection adapter over a connection of this package.
 *
 * ```ts
 * import { ChatClient } from "@tanstack/ai-client"
 * import { EmitterConnectionAdapter } from "effect-emitter/tanstack-ai"
 *
 * const connection = new EmitterConnectionAdapter({ url: "wss://example.org/events", api: "https://example.org/agent" })
 * const chat = new ChatClient({ connection, threadId: "t1", persistence: true })
 * // chat.attach() shows what the thread has, and goes on with its active run; chat.sendMessage("…") asks for another
 * connection.close()
 * ```
 *
 * - The server is `AgUi.layer` of `effect-emitter/ag-ui`.
 * - One connection brings the runs. It comes back by itself, and a run that was being told
 *   goes on where it was.
 * - `stop` is a command: the run ends, for all devices, as cancelled. So it does when a view
 *   goes, which `detach`es its client in the same way, unless `abort` is `"leave"`.
 * - With `persistence: true` a page that loads shows the runs of the thread that are
 *   remembered, and joins the one that is active, whoever began it. Of one that another
 *   page begins later `watch` tells.
 * - What a run asks is answered as TanStack AI's interrupts are.
 *
 * @since 0.2.0
 */
import type { SubscribeConnectionAdapter } from "@tanstack/ai-client"
import type { Connection, ConnectOptions } from "../../client/driver/ConnectOptions.ts"
import type { Run } from "../../client/driver/RunStore.ts"
import type { AgUiEvent, Interrupt } from "../ag-ui/AgUiEvents.ts"
import * as AgUiMapping from "../ag-ui/AgUiMapping.ts"
import * as RunConnection from "../RunConnection.ts"
import { isEnd, type RunItem } from "../RunItem.ts"
import * as RunRequest from "../RunRequest.ts"
import * as ChatMessages from "./ChatMessages.ts"
import { ChunkQueue } from "./ChunkQueue.ts"
import * as TanStackMapping from "./TanStackMapping.ts"

type Hydrate = NonNullable<SubscribeConnectionAdapter["hydrate"]>
type Chunks = ReturnType<SubscribeConnectionAdapter["subscribe"]>
type StreamChunk = Chunks extends AsyncIterable<infer Chunk> ? Chunk : never

/**
 * Options, besides those of `connect`, of which `threads` and `catalog` are the adapter's
 * own. 16 runs that ended are remembered unless `recentRuns` says otherwise.
 *
 * - `api`: where a run is asked for, the `path` of `AgUi.layer`; `"/agent"` by default.
 * - `headers` and `credentials` of these requests. A token that `connect` is given as a text
 *   or by a function goes along, as `Authorization`.
 * - `abort`: what an abort of the chat means. `"cancel"` (default) ends the run, `"leave"`
 *   only stops showing it.
 * - `question`: what the user asked for a run, as it is shown after a reload. By default it
 *   is the run's `input`, where that is a text.
 *
 * @category options
 * @since 0.2.0
 */
export interface AdapterOptions extends Omit<ConnectOptions, "catalog" | "threads"> {
  readonly api?: string | undefined
  readonly headers?: RunRequest.GivenHeaders
  readonly credentials?: RequestCredentials | undefined
  readonly abort?: "cancel" | "leave" | undefined
  readonly question?: ((run: Run) => string | undefined) | undefined
}

/**
 * A connection adapter of TanStack AI, for one chat client at a time.
 *
 * - `connection` is the one that it keeps: its status, its runs, their commands.
 * - `watch` calls when a run of a thread began that the chat does not show, since another
 *   page asked for it. A chat that detaches and attaches then shows it. It returns what
 *   ends that.
 *
 * @category adapters
 * @since 0.2.0
 */
export class EmitterConnectionAdapter implements SubscribeConnectionAdapter {
  readonly connection: Connection
  readonly #options: AdapterOptions
  readonly #readers: Set<RunConnection.RunReader>
  /** What the chat was told of each run. */
  readonly #told = new Map<string, TanStackMapping.Told>()
  #queue = new ChunkQueue<StreamChunk>()

  constructor(options: AdapterOptions) {
    this.#options = options
    const { connection, readers } = RunConnection.open({ recentRuns: 16, ...options })
    this.connection = connection
    this.#readers = readers
  }

  /** The chunks of the runs that are asked for. What waits comes to who subscribed last. */
  readonly subscribe = (signal?: AbortSignal): Chunks => {
    const queue = new ChunkQueue<StreamChunk>()
    queue.push(...this.#queue.takeAll())
    this.#queue = queue
    return queue.read(signal, () => {})
  }

  /** Asks for a run, or answers one. */
  readonly send: SubscribeConnectionAdapter["send"] = async (messages, data, signal, context) => {
    if (context === undefined) throw new Error("a run is asked for by its id and its thread's")
    const { clientTools: tools = [], forwardedProps, headers, resume = [], runId, threadId } = context
    const input = {
      threadId,
      runId,
      protocolVersion: "1.0",
      state: {},
      messages: ChatMessages.toInput(messages),
      tools,
      context: [],
      forwardedProps: { ...forwardedProps, ...data },
      ...(resume.length === 0 ? {} : { resume })
    }
    const runs = this.connection.runs.inThread(threadId).getSnapshot()
    const asking = resume.flatMap(({ interruptId }) => findRequest(runs, interruptId))
    const run = asking[0]?.run ?? runId
    const answered = new Set(asking.map(({ requestId }) => requestId))
    RunConnection.throwIfStopped(this.connection)
    signal?.throwIfAborted()
    const tell = this.#tell({ threadId, runId, run, answered }, () => this.#queue, signal)
    try {
      // An answer comes before what is told: the request is open until then.
      if (asking.length === 0) tell.open()
      await this.#ask(input, headers, signal)
      if (asking.length > 0) tell.open()
    } catch (error) {
      tell.leave()
      throw error
    }
  }

  /** A run from its beginning. */
  readonly joinRun = (runId: string, signal?: AbortSignal): Chunks => {
    const queue = new ChunkQueue<StreamChunk>()
    const begin = async () => {
      await RunConnection.caughtUp(this.connection, signal)
      if (signal?.aborted === true) return
      const known = this.connection.run(runId).get()
      if (known === undefined) throw new Error(`the run ${runId} is not known`)
      this.#told.delete(runId)
      this.#tell({ threadId: known.thread ?? "", runId, run: runId }, () => queue, signal).open()
    }
    begin().catch((error: unknown) => queue.fail(error))
    return queue.read(signal, () => {})
  }

  /** What the thread has: its runs that are remembered, and the one to join or to answer. */
  readonly hydrate: Hydrate = async (threadId) => {
    await RunConnection.caughtUp(this.connection, undefined)
    const runs = this.connection.runs.inThread(threadId).getSnapshot()
      .toSorted((a, b) => (a.startedAt ?? 0) - (b.startedAt ?? 0))
    const last = runs.findLast(({ status }) => status === "active")
    const pending = last === undefined ? [] : this.#pendingOf(last, threadId)
    const joined = pending.length === 0 ? last : undefined
    const messages = runs.flatMap((run) => {
      const asked = ChatMessages.toQuestion(run, (this.#options.question ?? inputOf)(run))
      return run === joined ? asked : [...asked, ...ChatMessages.toAnswer(run)]
    })
    // A chat that joins a run drops the last answer, which it takes for what it had of that run.
    const isAnswerLast = joined !== undefined && messages.at(-1)?.role === "assistant"
    return {
      messages: isAnswerLast ? [...messages, { id: `${joined.id}:joined`, role: "assistant", parts: [] }] : messages,
      activeRun: joined === undefined ? null : { runId: joined.id },
      interrupts: last === undefined || pending.length === 0 ? null : { runId: last.id, pending }
    }
  }

  readonly watch = (threadId: string, onRun: () => void): () => void => {
    const runs = this.connection.runs.inThread(threadId)
    const seen = new Set<string>()
    const leaving = new AbortController()
    let end = (): void => {}
    const look = (): void => {
      // A chat shows one run at a time: the other is told of when that is over.
      if (this.#readers.size > 0) return
      const begun = runs.getSnapshot().find(({ id, status }) =>
        status === "active" && !seen.has(id) && !this.#told.has(id)
      )
      if (begun === undefined) return
      seen.add(begun.id)
      onRun()
    }
    const begin = (): void => {
      if (leaving.signal.aborted) return
      // A chat that attaches is told of these by `hydrate`.
      for (const { id } of runs.getSnapshot()) seen.add(id)
      end = runs.subscribe(look)
    }
    // By a connection that has stopped nothing comes.
    RunConnection.caughtUp(this.connection, leaving.signal).then(begin, () => {})
    return () => {
      leaving.abort()
      end()
    }
  }

  readonly close = (): void => this.connection.close()

  /** What a run waits for. Then its messages are shown, so that what it does next is told behind them. */
  #pendingOf(run: Run, threadId: string): Array<Interrupt> {
    const { initial, next } = TanStackMapping.make({ threadId, runId: run.id })
    const [{ told }, events] = next(initial, toItem(run, this.connection))
    const pending = events.flatMap((event) =>
      event.type === "RUN_FINISHED" && event.outcome?.type === "interrupt" ? event.outcome.interrupts : []
    )
    if (pending.length > 0) this.#told.set(run.id, told)
    return pending.map((interrupt) => bound(interrupt, run.id))
  }

  #tell(
    telling: Parameters<typeof TanStackMapping.make>[0] & { readonly run: string },
    queue: () => ChunkQueue<StreamChunk>,
    signal: AbortSignal | undefined
  ): { readonly open: () => void; readonly leave: () => void } {
    const { run } = telling
    const { initial, isOver, next } = TanStackMapping.make(telling, this.#told.get(run))
    let state = initial
    const leave = (): void => {
      this.#readers.delete(reader)
      signal?.removeEventListener("abort", abort)
    }
    const take = (item: RunItem): void => {
      const [after, events] = next(state, item)
      state = after
      this.#told.set(run, after.told)
      queue().push(...events.map((event) => toChunk(event, telling)))
      if (!isEnd(item) && isOver?.(after) !== true) return
      leave()
      if (queue() !== this.#queue) queue().end()
    }
    const fail = (error: unknown): void => {
      leave()
      queue().fail(error)
    }
    const reader: RunConnection.RunReader = { run, take, fail }
    const abort = (): void => {
      leave()
      if (this.#options.abort === "leave") return
      RunConnection.stop(this.connection, run).catch((error: unknown) => this.#options.onError?.(error))
    }
    signal?.addEventListener("abort", abort)
    const open = (): void => {
      if (signal?.aborted === true) return
      this.#readers.add(reader)
      const known = this.connection.run(run).get()
      if (known !== undefined) take(toItem(known, this.connection))
    }
    return { open, leave }
  }

  async #ask(input: object, more: Record<string, string> | undefined, signal: AbortSignal | undefined): Promise<void> {
    const { api = "/agent", headers: given } = this.#options
    const headers = await RunRequest.headersOf(given, signal)
    for (const [name, value] of Object.entries(more ?? {})) headers.set(name, value)
    // The answer says that the run has begun, which the connection brings.
    const response = await RunRequest.post(
      api,
      { accept: "application/json", body: input, headers, signal, what: "run" },
      this.#options
    )
    await response.body?.cancel()
  }
}

const toItem = ({ id: _, ...state }: Run, connection: Connection): RunItem => ({
  _tag: "Snapshot",
  position: connection.position() ?? { epoch: "", offset: 0 },
  state
})

// TanStack AI answers what is bound to the run that asked, and checks an answer by a schema only with that schema's hash.
const bound = ({ metadata, responseSchema, ...interrupt }: Interrupt, interruptedRunId: string): Interrupt => {
  const binding = { v: 1, kind: "generic", interruptId: interrupt.id, interruptedRunId, generation: 0 }
  return {
    ...interrupt,
    metadata: {
      ...metadata,
      ...(responseSchema === undefined ? {} : { responseSchema }),
      "tanstack:interruptBinding": binding
    }
  }
}

// It reads an error without a run as one of all, and has its own word for what failed.
const adapted = (
  event: AgUiEvent,
  { runId, threadId }: { readonly runId: string; readonly threadId: string }
): object => {
  switch (event.type) {
    case "RUN_ERROR":
      return { ...event, runId, threadId }
    case "RUN_FINISHED": {
      const { outcome } = event
      return outcome?.type === "interrupt"
        ? { ...event, outcome: { ...outcome, interrupts: outcome.interrupts.map((one) => bound(one, runId)) } }
        : event
    }
    case "TOOL_CALL_RESULT":
      return event.metadata === undefined
        ? event
        : { ...event, metadata: { ...event.metadata, tanstack: { state: "output-error" } } }
    default:
      return event
  }
}

// The types of its chunks are an enumeration, which a text is only once it has travelled.
const toChunk = (event: AgUiEvent, telling: { readonly runId: string; readonly threadId: string }): StreamChunk =>
  JSON.parse(JSON.stringify(adapted(event, telling)))

const inputOf = ({ input }: Run): string | undefined => typeof input === "string" ? input : undefined

const findRequest = (runs: ReadonlyArray<Run>, interruptId: string) =>
  runs.flatMap(({ id: run, parts }) =>
    parts.flatMap((part) =>
      part.type === "request" && AgUiMapping.interruptId(run, part.requestId) === interruptId
        ? [{ run, requestId: part.requestId }]
        : []
    )
  )
