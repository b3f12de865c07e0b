/**
 * The page's end of AG-UI: an agent over a connection of this package.
 *
 * ```ts
 * import { EmitterAgent } from "effect-emitter/ag-ui/client"
 *
 * const agent = new EmitterAgent({
 *   threadId: "t1",
 *   api: "https://example.org/agent",
 *   connection: { url: "wss://example.org/events", token: "…" }
 * })
 * // await agent.connectAgent() shows what the thread has, and goes on with the run that is active
 * agent.close()
 * ```
 *
 * - One connection brings the runs. It comes back by itself, and a run that was being told
 *   goes on where it was.
 * - `connectAgent` tells what the thread has: its runs that are remembered, and the active
 *   one as it goes on, whoever began it. `watch` tells of runs that something else began:
 *   another tab, another device, the program.
 * - `abortRun` is a command: the run ends, for all devices, as cancelled. `detachActiveRun`
 *   only stops telling it.
 * - What a run asks is answered by `runAgent({ resume })`.
 *
 * @since 0.2.0
 */
import {
  AbstractAgent,
  type AgentConfig,
  type AgentSubscriber,
  type BaseEvent,
  EventType,
  type RunAgentInput,
  type RunAgentParameters
} from "@ag-ui/client"
import type { Json } from "effect/Schema"
import { Observable } from "rxjs"
import type { Connection, ConnectOptions } from "../../client/driver/ConnectOptions.ts"
import type { Run } from "../../client/driver/RunStore.ts"
import * as RunEvents from "../../protocol/event/RunEvents.ts"
import * as RunConnection from "../RunConnection.ts"
import * as RunRequest from "../RunRequest.ts"
import { isEnd, type RunItem } from "../RunItem.ts"
import * as AgUiMapping from "./AgUiMapping.ts"

/**
 * Options, besides those of every agent of AG-UI:
 *
 * - `api`: where a run is asked for, the `path` of `AgUi.layer`.
 * - `headers` and `credentials` of these requests. A token that the connection is given as a
 *   text or by a function goes along, as `Authorization`.
 * - `connection`: the options of `connect`. 16 runs that ended are remembered unless
 *   `recentRuns` says otherwise.
 *
 * @category options
 * @since 0.2.0
 */
export interface EmitterAgentConfig extends AgentConfig {
  readonly api: string | URL
  readonly headers?: RunRequest.GivenHeaders
  readonly credentials?: RequestCredentials | undefined
  readonly connection: Omit<ConnectOptions, "catalog" | "threads">
}

/** What the clones of an agent share. */
interface Shared extends RunConnection.RunConnection<RunConnection.RunReader> {
  readonly config: EmitterAgentConfig
}

/**
 * An agent of AG-UI. `connection` is the one that it keeps, and shares with its clones.
 *
 * `watch` calls when the thread has what this agent has not told: a run that something else
 * began, or one that it left as it asked, and that was answered. So does
 * `() => void agent.connectAgent()` show it. It waits while a run is told. It returns what
 * ends that.
 *
 * @category agents
 * @since 0.2.0
 */
export class EmitterAgent extends AbstractAgent {
  private shared: Shared
  /** The runs that are told, and what ends that. */
  private current = new Map<string, (error: unknown) => void>()
  /** How far the runs were told. */
  private told = new Map<string, string>()
  private connecting = 0
  private watchers = new Set<() => void>()

  constructor(config: EmitterAgentConfig) {
    super(config)
    this.shared = share(config)
  }

  get connection(): Connection {
    return this.shared.connection
  }

  override clone(): EmitterAgent {
    const cloned: EmitterAgent = super.clone()
    cloned.shared = this.shared
    cloned.current = new Map()
    cloned.told = new Map()
    cloned.connecting = 0
    cloned.watchers = new Set()
    return cloned
  }

  /** Tells what the thread has. What the run asked before is asked anew, if it still waits. */
  override async connectAgent(
    parameters?: RunAgentParameters,
    subscriber?: AgentSubscriber
  ): ReturnType<AbstractAgent["connectAgent"]> {
    this.pendingInterrupts = []
    this.connecting++
    try {
      return await super.connectAgent(parameters, subscriber)
    } finally {
      this.connecting--
      this.look()
    }
  }

  watch(onRun: () => void): () => void {
    const runs = this.connection.runs.inThread(this.threadId)
    const look = (): void => {
      if (this.current.size > 0 || this.connecting > 0) return
      const untold = runs.getSnapshot().filter((run) => this.told.get(run.id) !== standing(run))
      for (const run of untold) this.told.set(run.id, standing(run))
      if (untold.length > 0) onRun()
    }
    this.watchers.add(look)
    look()
    const end = runs.subscribe(look)
    return () => {
      this.watchers.delete(look)
      end()
    }
  }

  run(input: RunAgentInput): Observable<BaseEvent> {
    const { resume = [] } = input
    return resume.length === 0
      ? this.tell(input, { run: input.runId }, (signal) => this.ask(input, signal))
      : this.resume(input, resume)
  }

  protected override connect(input: RunAgentInput): Observable<BaseEvent> {
    return new Observable((subscriber) => {
      const leaving = new AbortController()
      const begin = async () => {
        await RunConnection.caughtUp(this.connection, leaving.signal)
        if (leaving.signal.aborted) return
        const runs = this.connection.runs.inThread(input.threadId).getSnapshot()
        const run = newest(runs)
        if (run === undefined) return subscriber.complete()
        for (const one of runs) this.told.set(one.id, standing(one))
        const earlier = runs.filter(({ id }) => id !== run.id).flatMap((one) => messagesOf(input, one))
        const telling = { run: run.id, runId: run.id, history: [...input.messages, ...earlier] }
        leaving.signal.addEventListener("abort", () => told.unsubscribe())
        const told = this.tell(input, telling, undefined).subscribe(subscriber)
      }
      begin().catch((error: unknown) => subscriber.error(error))
      return () => leaving.abort()
    })
  }

  override abortRun(): void {
    for (const [run, fail] of this.current) {
      RunConnection.stop(this.connection, run).catch((error: unknown) => this.shared.config.connection.onError?.(error))
      // What has not begun may never do so.
      if (this.connection.run(run).get() === undefined) fail(new DOMException("the run was stopped", "AbortError"))
    }
  }

  /** Ends the connection, also for all clones. */
  close(): void {
    this.connection.close()
  }

  /** Has those who watch look for what came while something else was told. */
  private look(): void {
    for (const watcher of this.watchers) watcher()
  }

  private resume(input: RunAgentInput, resume: NonNullable<RunAgentInput["resume"]>): Observable<BaseEvent> {
    const runs = this.connection.runs.inThread(input.threadId).getSnapshot()
    const found = resume.map((entry) => ({ entry, request: findRequest(runs, entry.interruptId) }))
    const run = found[0]?.request?.run
    const answered = new Set(found.flatMap(({ request }) => request === undefined ? [] : [request.requestId]))
    return new Observable((subscriber) => {
      if (run === undefined || found.some(({ request }) => request?.run !== run)) {
        return subscriber.error(new Error("no run of this thread asks for what is answered"))
      }
      const answer = async () => {
        const commands = this.connection.run(run)
        for (const { entry: { payload, status }, request } of found) {
          const outcome = status === "cancelled" && request?.kind !== "approval"
            ? await commands.cancel()
            : await commands.answer(request?.requestId ?? "", status === "resolved" ? toJson(payload) : false)
          if (outcome.outcome === "refused" && outcome.reason !== "ended") {
            throw new Error(outcome.message ?? `the answer was refused: ${outcome.reason}`)
          }
        }
      }
      const told = this.tell(input, { run, answered }, answer).subscribe(subscriber)
      return () => told.unsubscribe()
    })
  }

  // Tells a run from now on: with its state, if there is one already.
  private tell(
    input: RunAgentInput,
    more: Partial<AgUiMapping.Telling> & { readonly run: string },
    begin: ((signal: AbortSignal) => Promise<void>) | undefined
  ): Observable<BaseEvent> {
    return new Observable((subscriber) => {
      const { run } = more
      const { connection, readers } = this.shared
      const leaving = new AbortController()
      const mapping = AgUiMapping.make({ ...tellingOf(input), ...more })
      let state = mapping.initial
      let answered = 0
      let isOver = false
      const leave = () => {
        readers.delete(reader)
        this.current.delete(run)
        this.told.set(run, standingOf(answered, isOver))
        leaving.abort()
        queueMicrotask(() => this.look())
      }
      const fail = (error: unknown) => {
        leave()
        subscriber.error(error)
      }
      const take = (item: RunItem) => {
        if (item._tag === "Snapshot") answered = answeredOf(item.state)
        if (item._tag === "Event" && item.event.type === RunEvents.inputResolved) answered++
        isOver = isEnd(item)
        const [after, events] = mapping.next(state, item)
        state = after
        for (const event of events) subscriber.next({ ...event, type: EventType[event.type] })
        if (!isOver && mapping.isOver?.(after) !== true) return
        leave()
        subscriber.complete()
      }
      const reader: RunConnection.RunReader = { run, take, fail }
      const start = async () => {
        // What is being handed over right now is handed over then.
        await Promise.resolve()
        if (leaving.signal.aborted) return
        RunConnection.throwIfStopped(connection)
        this.current.set(run, fail)
        // An answer comes before the state that is shown: the request is open until then.
        if (begin !== undefined && more.answered !== undefined) await begin(leaving.signal)
        readers.add(reader)
        const known = connection.run(run).get()
        if (known !== undefined) {
          const { id: _, ...snapshot } = known
          take({ _tag: "Snapshot", position: connection.position() ?? { epoch: "", offset: 0 }, state: snapshot })
        } else if (begin !== undefined) await begin(leaving.signal)
      }
      start().catch((error: unknown) => {
        if (!leaving.signal.aborted) fail(error)
      })
      return leave
    })
  }

  // The answer says that the run has begun, which the connection brings.
  private async ask(input: RunAgentInput, signal: AbortSignal): Promise<void> {
    const { api, connection, credentials, headers: given } = this.shared.config
    const headers = await RunRequest.headersOf(given, signal)
    const asked = { accept: "application/json", body: input, headers, signal, what: "run" }
    const response = await RunRequest.post(String(api), asked, { ...connection, credentials })
    await response.body?.cancel()
  }
}

const share = (config: EmitterAgentConfig): Shared => ({
  ...RunConnection.open({ recentRuns: 16, ...config.connection }),
  config
})

// What of an input counts for telling: messages are JSON.
const tellingOf = ({ messages, protocolVersion, runId, threadId }: RunAgentInput): AgUiMapping.Telling => ({
  threadId,
  runId,
  protocolVersion,
  history: messages.map(toJson)
})

const toJson = (value: unknown): Json => value === undefined ? null : JSON.parse(JSON.stringify(value))

const messagesOf = (input: RunAgentInput, { id, ...state }: Run): ReadonlyArray<Json> => {
  const { initial, next } = AgUiMapping.make({ threadId: input.threadId, runId: id })
  const [, events] = next(initial, { _tag: "Snapshot", position: { epoch: "", offset: 0 }, state })
  return events.flatMap((event) => event.type === "MESSAGES_SNAPSHOT" ? event.messages.map(toJson) : [])
}

const newest = (runs: ReadonlyArray<Run>): Run | undefined => {
  const byStart = runs.toSorted((a, b) => (b.startedAt ?? 0) - (a.startedAt ?? 0))
  return byStart.find(({ status }) => status === "active") ?? byStart[0]
}

const answeredOf = ({ parts }: Pick<Run, "parts">): number =>
  parts.filter((part) => part.type === "request" && part.status !== "open").length

// What a client is told of a run changes by answers, and by its end.
const standingOf = (answered: number, isOver: boolean): string => `${answered} ${isOver}`

const standing = (run: Run): string => standingOf(answeredOf(run), run.status !== "active")

const findRequest = (runs: ReadonlyArray<Run>, interruptId: string) => {
  for (const { id: run, parts } of runs) {
    for (const part of parts) {
      if (part.type !== "request" || AgUiMapping.interruptId(run, part.requestId) !== interruptId) continue
      return { run, requestId: part.requestId, kind: part.kind }
    }
  }
  return undefined
}
