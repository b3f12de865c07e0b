/**
 * What the payloads of built-in events look like on the wire: enough to hand
 * them over as what their types say. The bounds are the server's business.
 *
 * @since 0.1.0
 */
import type { BuiltInName } from "../../protocol/event/EventDefinition.ts"
import { enders, errorReasons, requestKinds, requestOutcomes } from "../../protocol/event/RunEvents.ts"
import {
  type Check,
  isAmount,
  isAny,
  isArrayOf,
  isBoolean,
  isCount,
  isFinite,
  isName,
  isObject,
  isOneOf,
  isShape,
  isString,
  usage
} from "./Shapes.ts"

const delta = isShape({ messageId: isName, delta: isString })
const tool = { toolCallId: isName, toolName: isName }
const auth = isShape({}, { provider: isName, reason: isString })
const step = isShape({ name: isName })
const [required, optional] = usage

const shapes: { readonly [Name in BuiltInName]: Check } = {
  agent_started: isShape({ agentName: isName }, {
    input: isAny,
    parentRunId: isName,
    commands: isArrayOf(isName)
  }),
  agent_thinking: isShape({ text: isString }, { step: isCount }),
  tool_executing: isShape({ ...tool, input: isAny }),
  tool_completed: isShape({ ...tool, output: isAny, isError: isBoolean, durationMs: isAmount }),
  text_delta: delta,
  thinking_delta: delta,
  progress_update: isShape({ progress: isFinite }, { message: isString }),
  usage_reported: isShape(required, { ...optional, operation: isName }),
  agent_completed: isShape(
    { agentName: isName, durationMs: isAmount },
    { result: isAny, usage: isShape(required, optional) }
  ),
  agent_error: isShape({ reason: isOneOf(...errorReasons), message: isString, retryable: isBoolean }, {
    by: isOneOf(...enders)
  }),
  input_requested: isShape({ requestId: isName, kind: isOneOf(...requestKinds), title: isName }, {
    detail: isString,
    schema: isObject,
    options: isArrayOf(isShape({ value: isName }, { label: isName })),
    toolCallId: isName,
    sensitive: isBoolean,
    expiresAt: isCount
  }),
  input_resolved: isShape({ requestId: isName, outcome: isOneOf(...requestOutcomes) }, {
    answer: isAny,
    client: isString
  }),
  tool_input_delta: isShape({ ...tool, delta: isString }),
  message_completed: isShape({ messageId: isName }),
  step_started: step,
  step_finished: step,
  state_snapshot: isShape({ state: isAny }),
  state_delta: isShape({ patch: isArrayOf(isShape({ op: isName, path: isString })) }),
  source_cited: isShape({ sourceId: isName }, { title: isString, url: isString, excerpt: isString }),
  file_produced: isShape({ fileId: isName, mediaType: isName }, { name: isName, url: isString, data: isString }),
  custom: isShape({ name: isName, data: isAny }),
  auth_started: auth,
  auth_validating: auth,
  auth_completed: auth,
  auth_failed: auth
}

const byName: ReadonlyMap<string, Check> = new Map(Object.entries(shapes))

/**
 * The check of a built-in event's payload; `undefined` for a name that is none of
 * theirs.
 *
 * @category lookups
 * @since 0.1.0
 */
export const shapeOf = (name: string): Check | undefined => byName.get(name)
