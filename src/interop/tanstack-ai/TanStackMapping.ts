/**
 * Tells a run to TanStack AI, whose chunks are the events of AG-UI.
 *
 * It is the mapping of AG-UI, but for where a reader gets the state of a run: in place of
 * all messages anew come the pieces that it was not told yet. So a page that joins is told
 * the run from its beginning, one that missed something just that, and the messages that
 * it has besides stay as they are.
 *
 * @see https://tanstack.com/ai
 * @since 0.2.0
 */
import type { RunPart } from "../../protocol/run/RunSnapshot.ts"
import type { AgUiEvent } from "../ag-ui/AgUiEvents.ts"
import * as AgUiMapping from "../ag-ui/AgUiMapping.ts"
import type { Mapping } from "../Mapping.ts"

/**
 * What a reader was told of a run, by the ids that it knows: the texts of messages, of
 * thoughts and of what calls were given, and the calls and results that are complete.
 *
 * @category models
 * @since 0.2.0
 */
export interface Told {
  readonly texts: ReadonlyMap<string, string>
  readonly done: ReadonlySet<string>
}

/**
 * Nothing was told.
 *
 * @category constants
 * @since 0.2.0
 */
export const nothing: Told = { texts: new Map(), done: new Set() }

/**
 * Where a reader stands.
 *
 * @category models
 * @since 0.2.0
 */
export interface State {
  readonly agUi: AgUiMapping.State
  readonly told: Told
}

/**
 * Makes the mapping for one reader, who was told so much of the run before.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (
  telling: Omit<AgUiMapping.Telling, "history" | "protocolVersion">,
  earlier: Told = nothing
): Mapping<State, AgUiEvent> => {
  const { run = telling.runId } = telling
  const agUi = AgUiMapping.make({ ...telling, protocolVersion: "1.0" })
  return {
    initial: { agUi: agUi.initial, told: earlier },
    isOver: (state) => agUi.isOver?.(state.agUi) === true,
    next: (before, item) => {
      const [after, events] = agUi.next(before.agUi, item)
      const missing = item._tag === "Snapshot" ? missed(run, item.state.parts, before, events) : []
      // What is opened with the pieces that were missed is so once.
      const opened = new Set(missing.flatMap(opens))
      const rest = events.filter((event) => opens(event).every((id) => !opened.has(id)))
      const at = rest.findIndex(({ type }) => type === "MESSAGES_SNAPSHOT")
      const all = at < 0 ? rest : [...rest.slice(0, at), ...missing, ...rest.slice(at + 1)]
      let { told } = before
      const fresh: Array<AgUiEvent> = []
      for (const event of all) {
        // A call that was missed as a whole is complete already.
        if (event.type === "TOOL_CALL_END" && told.done.has(event.toolCallId)) continue
        // A message of an earlier reader goes on as it stands: one that is begun again is emptied.
        if (event.type === "TEXT_MESSAGE_START" && earlier.texts.has(event.messageId)) continue
        told = note(told, event)
        fresh.push(event)
      }
      return [{ agUi: after, told }, fresh]
    }
  }
}

const note = (told: Told, event: AgUiEvent): Told => {
  const { done, texts } = told
  const add = (id: string, text: string): Told => ({
    done,
    texts: new Map(texts).set(id, (texts.get(id) ?? "") + text)
  })
  switch (event.type) {
    case "TEXT_MESSAGE_CONTENT":
    case "REASONING_MESSAGE_CONTENT":
      return add(event.messageId, event.delta)
    case "TOOL_CALL_START":
      return add(event.toolCallId, "")
    case "TOOL_CALL_ARGS":
      return add(event.toolCallId, event.delta)
    case "TOOL_CALL_END":
      return { texts, done: new Set(done).add(event.toolCallId) }
    case "TOOL_CALL_RESULT":
      return { texts, done: new Set(done).add(event.messageId) }
    default:
      return told
  }
}

const opens = (event: AgUiEvent): ReadonlyArray<string> => {
  switch (event.type) {
    case "TEXT_MESSAGE_START":
    case "REASONING_START":
    case "REASONING_MESSAGE_START":
      return [event.messageId]
    case "TOOL_CALL_START":
      return [event.toolCallId]
    default:
      return []
  }
}

// The pieces of a run's parts that were not told. Those stay open that the mapping of AG-UI has open, or opens.
const missed = (
  run: string,
  parts: ReadonlyArray<RunPart>,
  { agUi, told }: State,
  events: ReadonlyArray<AgUiEvent>
): ReadonlyArray<AgUiEvent> => {
  const opening = new Set(events.flatMap(opens))
  let notes = 0
  return parts.flatMap((part): ReadonlyArray<AgUiEvent> => {
    switch (part.type) {
      case "text": {
        const messageId = AgUiMapping.idOf(run, "text", part.messageId)
        const delta = restOf(part, told.texts.get(messageId))
        const isOpen = agUi.texts.has(part.messageId)
        if (delta === "" && told.texts.has(messageId)) return []
        return [
          ...(isOpen ? [] : [{ type: "TEXT_MESSAGE_START", messageId, role: "assistant" } as const]),
          ...(delta === "" ? [] : [{ type: "TEXT_MESSAGE_CONTENT", messageId, delta } as const]),
          ...(isOpen || opening.has(messageId) ? [] : [{ type: "TEXT_MESSAGE_END", messageId } as const])
        ]
      }
      case "thinking": {
        const { messageId: id } = part
        const messageId = id === undefined
          ? AgUiMapping.idOf(run, "thought", notes++)
          : AgUiMapping.idOf(run, "thinking", id)
        const delta = restOf(part, told.texts.get(messageId))
        if (delta === "") return []
        const isOpen = id !== undefined && agUi.thoughts.has(id)
        return [
          ...(isOpen ? [] : [
            { type: "REASONING_START", messageId } as const,
            { type: "REASONING_MESSAGE_START", messageId, role: "reasoning" } as const
          ]),
          { type: "REASONING_MESSAGE_CONTENT", messageId, delta },
          ...(isOpen || opening.has(messageId) ? [] : [
            { type: "REASONING_MESSAGE_END", messageId } as const,
            { type: "REASONING_END", messageId } as const
          ])
        ]
      }
      case "tool": {
        const { input, inputText, output, status, toolName } = part
        const toolCallId = AgUiMapping.idOf(run, "call", part.toolCallId)
        const messageId = AgUiMapping.idOf(run, "result", part.toolCallId)
        const known = told.texts.get(toolCallId)
        const text = inputText ?? (input === undefined ? "" : JSON.stringify(input))
        const delta = text.slice(known?.length ?? 0)
        const isComplete = told.done.has(toolCallId)
        const isOpen = inputText !== undefined && agUi.inputs.has(part.toolCallId)
        return [
          ...(known === undefined ? [{ type: "TOOL_CALL_START", toolCallId, toolCallName: toolName } as const] : []),
          ...(delta === "" || isComplete ? [] : [{ type: "TOOL_CALL_ARGS", toolCallId, delta } as const]),
          ...(isComplete || isOpen || opening.has(toolCallId) ? [] : [{ type: "TOOL_CALL_END", toolCallId } as const]),
          ...(output === undefined || told.done.has(messageId) ? [] : [
            {
              type: "TOOL_CALL_RESULT",
              role: "tool",
              messageId,
              toolCallId,
              content: typeof output === "string" ? output : JSON.stringify(output),
              ...(status === "failed" ? { metadata: { isError: true } } : {})
            } as const
          ])
        ]
      }
      default:
        return []
    }
  })
}

// Of a text whose beginning is not kept, the end of what was told has to be found in it.
const restOf = (
  { text, truncated = false }: { readonly text: string; readonly truncated?: boolean },
  known: string | undefined
): string => {
  if (known === undefined) return text
  if (!truncated) return text.slice(known.length)
  for (let length = Math.min(known.length, text.length); length > 0; length--) {
    if (known.endsWith(text.slice(0, length))) return text.slice(length)
  }
  return text
}
