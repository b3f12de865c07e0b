/**
 * What the page knows of its user's runs: a fold of what the client hands over, free of the DOM.
 */
import type { AnyEvent, Gap, Snapshot } from "../../../client/index.ts"
import * as RunEvents from "../../../protocol/event/RunEvents.ts"
import type { RunPart, RunSnapshot } from "../../../protocol/run/RunSnapshot.ts"

/**
 * What the client hands over. Offsets of a snapshot tell which events are in its state already.
 */
export type Item =
  | { readonly _tag: "Event"; readonly epoch: string; readonly event: AnyEvent }
  | { readonly _tag: "Gap" } & Gap
  | { readonly _tag: "Snapshot" } & Snapshot
  | { readonly _tag: "Lost"; readonly run: string; readonly at: number }

/** Something in a run's timeline. */
export type Step =
  | { readonly _tag: "Note"; readonly key: string; readonly text: string; readonly offset: number | undefined }
  | {
    readonly _tag: "Tool"
    readonly key: string
    readonly name: string
    readonly status: "executing" | "completed" | "failed"
    readonly input: unknown
    readonly output: unknown
    readonly durationMs: number | undefined
    readonly offset: number | undefined
  }
  | { readonly _tag: "Mark"; readonly key: string; readonly text: string }

/** Where a quotation of the answer comes from. */
export interface Citation {
  readonly number: number
  readonly title: string
  readonly source: string
  readonly line: number
  readonly excerpt: string
}

/** A run as far as this page knows it. */
export interface Run {
  readonly id: string
  question: string | undefined
  documents: string | undefined
  agentName: string
  status: RunSnapshot["status"]
  startedAt: number | undefined
  endedAt: number | undefined
  progress: number | undefined
  steps: Array<Step>
  answer: string
  /** The offsets of the answer's pieces, first and last. */
  answerFrom: number | undefined
  answerTo: number | undefined
  citations: ReadonlyArray<Citation>
  error: string | undefined
  tokens: { readonly read: number; readonly written: number } | undefined
  /** Events up to here are in the run's snapshot already. */
  foldedTo: number
}

type Data = { readonly [key: string]: unknown }

const text = (data: Data, key: string): string | undefined => typeof data[key] === "string" ? data[key] : undefined
const number = (data: Data, key: string): number | undefined => typeof data[key] === "number" ? data[key] : undefined
const isData = (value: unknown): value is Data => typeof value === "object" && value !== null && !Array.isArray(value)

const citationsOf = (result: unknown): ReadonlyArray<Citation> => {
  const list = isData(result) ? result["citations"] : undefined
  return (Array.isArray(list) ? list : []).flatMap((entry: unknown) => {
    if (!isData(entry)) return []
    const [title, source, excerpt] = [text(entry, "title"), text(entry, "source"), text(entry, "excerpt")]
    const [nth, line] = [number(entry, "number"), number(entry, "line")]
    return title === undefined || source === undefined || nth === undefined
      ? []
      : [{ number: nth, title, source, line: line ?? 1, excerpt: excerpt ?? "" }]
  })
}

const emptyRun = (id: string): Run => ({
  id,
  question: undefined,
  documents: undefined,
  agentName: "agent",
  status: "active",
  startedAt: undefined,
  endedAt: undefined,
  progress: undefined,
  steps: [],
  answer: "",
  answerFrom: undefined,
  answerTo: undefined,
  citations: [],
  error: undefined,
  tokens: undefined,
  foldedTo: 0
})

// A call that was open when its run ended has no result.
const closeTools = (run: Run): void => {
  run.steps = run.steps.map((step) =>
    step._tag === "Tool" && step.status === "executing" ? { ...step, status: "failed" } : step
  )
}

/** The runs of one user, oldest first. */
export class Runs {
  readonly byId = new Map<string, Run>()

  /** Takes an item; returns the runs that it changed. */
  apply(item: Item): ReadonlyArray<Run> {
    switch (item._tag) {
      case "Event":
        return this.onEvent(item.event)
      case "Snapshot":
        return [this.onSnapshot(item.run, item.offset, item.state)]
      case "Gap": {
        const active = [...this.byId.values()].filter(({ status }) => status === "active")
        const missed = item.to - item.from + 1
        const why = item.reason === "slow"
          ? "this page read too slowly"
          : item.reason === "epoch"
          ? "the server began a new log"
          : "they are no longer kept"
        for (const run of active) {
          run.steps.push({
            _tag: "Mark",
            key: `gap-${item.epoch}-${item.to}`,
            text: missed > 0
              ? `${missed} events up to offset ${item.to} will not come: ${why}`
              : `Events will not come: ${why}`
          })
        }
        return active
      }
      case "Lost": {
        const run = this.byId.get(item.run)
        if (run === undefined || run.status !== "active") return []
        run.status = "lost"
        run.endedAt = item.at
        closeTools(run)
        run.error = "The server that ran it is gone."
        return [run]
      }
    }
  }

  private run(id: string): Run {
    const known = this.byId.get(id)
    if (known !== undefined) return known
    const run = emptyRun(id)
    this.byId.set(id, run)
    return run
  }

  private onEvent(event: AnyEvent): ReadonlyArray<Run> {
    if (event.run === undefined) return []
    const run = this.run(event.run)
    // What the run's snapshot holds already only adds the inputs and outputs that were too large for it.
    const folded = event.offset <= run.foldedTo
    const { at, offset, payload: data } = event
    switch (event.type) {
      case RunEvents.started: {
        const input = isData(data["input"]) ? data["input"] : {}
        run.question = text(input, "question")
        run.documents = text(input, "documents")
        run.agentName = text(data, "agentName") ?? run.agentName
        run.startedAt = at
        break
      }
      case RunEvents.thinking: {
        const note: Step = { _tag: "Note", key: `note-${event.id}`, text: text(data, "text") ?? "", offset }
        const made = run.steps.findIndex((step) =>
          step._tag === "Note" && step.offset === undefined && step.text === note.text
        )
        if (made >= 0) run.steps[made] = note
        else run.steps.push(note)
        break
      }
      case RunEvents.toolExecuting:
      case RunEvents.toolCompleted:
        this.onTool(run, event.type === RunEvents.toolCompleted, data, offset)
        break
      case RunEvents.textDelta:
        if (folded) break
        if (run.answer === "") run.answerFrom = offset
        run.answer += text(data, "delta") ?? ""
        run.answerTo = offset
        break
      case RunEvents.progress:
        if (!folded) run.progress = number(data, "progress")
        break
      case RunEvents.usage:
        if (folded) break
        run.tokens = {
          read: (run.tokens?.read ?? 0) + (number(data, "inputTokens") ?? 0),
          written: (run.tokens?.written ?? 0) + (number(data, "outputTokens") ?? 0)
        }
        break
      case RunEvents.completed:
        run.status = "completed"
        run.endedAt = at
        closeTools(run)
        run.citations = citationsOf(data["result"])
        break
      case RunEvents.failed:
        run.status = RunEvents.reasonOf(data["reason"])
        run.endedAt = at
        closeTools(run)
        run.error = text(data, "message")
        break
    }
    return [run]
  }

  private onTool(run: Run, completed: boolean, data: Data, offset: number): void {
    const id = text(data, "toolCallId")
    if (id === undefined) return
    const index = run.steps.findIndex((step) => step._tag === "Tool" && step.key === id)
    const before = run.steps[index]
    const known = before?._tag === "Tool" ? before : undefined
    const step: Step = {
      _tag: "Tool",
      key: id,
      name: text(data, "toolName") ?? known?.name ?? "tool",
      status: completed ? (data["isError"] === true ? "failed" : "completed") : known?.status ?? "executing",
      input: completed ? known?.input : data["input"],
      output: completed ? data["output"] : known?.output,
      durationMs: completed ? number(data, "durationMs") : known?.durationMs,
      offset: known?.offset ?? offset
    }
    if (index >= 0) run.steps[index] = step
    else run.steps.push(step)
  }

  private onSnapshot(id: string, offset: number, state: RunSnapshot): Run {
    const run = this.run(id)
    run.foldedTo = Math.max(run.foldedTo, offset)
    run.status = state.status
    run.agentName = state.agentName ?? run.agentName
    run.startedAt = state.startedAt ?? run.startedAt
    run.endedAt = state.endedAt
    run.progress = state.progress
    run.error = state.error
    run.tokens = { read: state.usage.inputTokens, written: state.usage.outputTokens }
    const input = isData(state.input) ? state.input : {}
    run.question = text(input, "question") ?? run.question
    run.documents = text(input, "documents") ?? run.documents
    run.answer = state.parts.flatMap((part) => part.type === "text" ? [part.text] : []).join("\n\n")
    if (run.answer !== "") run.answerTo = offset
    if (state.result !== undefined) run.citations = citationsOf(state.result)
    const key = `snapshot-${offset}`
    if (!run.steps.some((step) => step.key === key)) {
      run.steps.push({ _tag: "Mark", key, text: `Taken up from a snapshot of the run at offset ${offset}` })
    }
    for (const [index, part] of state.parts.entries()) {
      if (part.type === "tool") this.onToolPart(run, part)
      if (part.type !== "thinking" || part.messageId !== undefined) continue
      if (run.steps.some((step) => step._tag === "Note" && step.text === part.text)) continue
      run.steps.push({ _tag: "Note", key: `thinking-${offset}-${index}`, text: part.text, offset: undefined })
    }
    return run
  }

  private onToolPart(run: Run, part: Extract<RunPart, { readonly type: "tool" }>): void {
    const index = run.steps.findIndex((step) => step._tag === "Tool" && step.key === part.toolCallId)
    const before = run.steps[index]
    const known = before?._tag === "Tool" ? before : undefined
    const step: Step = {
      _tag: "Tool",
      key: part.toolCallId,
      name: part.toolName,
      status: part.status,
      input: known?.input ?? part.input,
      output: known?.output ?? part.output,
      durationMs: part.durationMs,
      offset: known?.offset
    }
    if (index >= 0) run.steps[index] = step
    else run.steps.push(step)
  }
}
