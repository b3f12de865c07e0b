/**
 * The server's frames as the client reads them: the shapes of `Frame`, checked
 * by hand.
 *
 * Plain JavaScript programs use the client without Effect, so nothing here may
 * load a schema. The checks are structural: every field has its type and its
 * bounds. The rules for ids are left to the server, so ids are plain strings.
 * Fields that are not known are left in place and ignored.
 *
 * @since 0.1.0
 */
import type { WireEvent } from "../../protocol/event/ReceivedEvent.ts"
import type { Outcome } from "../../protocol/command/Command.ts"
import type { GapReason } from "../../protocol/wire/Frame.ts"
import { epochPattern } from "../../protocol/values/PositionText.ts"
import { enders, errorReasons, keeps, requestKinds, requestOutcomes } from "../../protocol/event/RunEvents.ts"
import type { RunPart, RunSnapshot } from "../../protocol/run/RunSnapshot.ts"
import {
  type Check,
  isAny,
  isArrayOf,
  isBoolean,
  isCount,
  isFinite,
  isInt,
  isName,
  isObject,
  isOneOf,
  isShape,
  isString,
  usage
} from "./Shapes.ts"

/**
 * Every frame a server sends.
 *
 * @category models
 * @since 0.1.0
 */
export type ServerFrame =
  | {
    readonly type: "welcome"
    readonly connection: string
    readonly epoch: string
    readonly offset: number
    readonly recovered: boolean
    readonly snapshots: number
    readonly heartbeatMs: number
    readonly retentionMs: number
    readonly accepts?: ReadonlyArray<string>
  }
  | {
    readonly type: "events"
    readonly epoch: string
    readonly upTo?: number
    readonly events: ReadonlyArray<WireEvent>
  }
  | {
    readonly type: "gap"
    readonly epoch: string
    readonly from: number
    readonly to: number
    readonly reason: GapReason
    readonly snapshots: number
  }
  | { readonly type: "snapshot"; readonly run: string; readonly offset: number; readonly state: RunSnapshot }
  | { readonly type: "status"; readonly state: "degraded" | "live" }
  | { readonly type: "ping" }
  | { readonly type: "goodbye"; readonly reason: string; readonly reconnectAfterMs: number }
  | { readonly type: "error"; readonly code: string; readonly message: string }
  | { readonly type: "command"; readonly id: string } & Outcome

/**
 * A message that is no frame. `detail` says what is wrong, without any of the
 * message's content.
 *
 * @category models
 * @since 0.1.0
 */
export interface BadFrame {
  readonly type: "bad"
  readonly detail: string
}

/**
 * Reads a message of a server. Anything but a text that holds a known frame is
 * a `BadFrame`.
 *
 * @category codecs
 * @since 0.1.0
 */
export const decode = (message: unknown): ServerFrame | BadFrame => {
  if (typeof message !== "string") return bad("the message is not text")
  let json: unknown
  try {
    json = JSON.parse(message)
  } catch {
    return bad("the message is not JSON")
  }
  if (isServerFrame(json)) return json
  const type = isObject(json) ? json["type"] : undefined
  return typeof type === "string" && Object.hasOwn(frames, type)
    ? bad(`the fields of ${type} are wrong`)
    : bad("the message is of no known type")
}

const bad = (detail: string): BadFrame => ({ type: "bad", detail })

const isEpoch: Check = (value) => typeof value === "string" && epochPattern.test(value)

const isAccepts: Check = (value) =>
  Array.isArray(value) && value.length <= 32 && value.every((name) => isName(name) && name.length <= 64)

const isWireEvent = isShape(
  { offset: isCount, id: isName, type: isName, at: isInt, data: isObject },
  { keep: isOneOf(...keeps), run: isName, thread: isName, confirm: isBoolean, request: isString, trace: isString }
)

const cut = { truncated: isBoolean, completed: isBoolean }

const parts: { readonly [Type in RunPart["type"]]: Check } = {
  text: isShape({ messageId: isString, text: isString }, cut),
  thinking: isShape({ text: isString }, { messageId: isString, step: isInt, ...cut }),
  tool: isShape(
    { toolCallId: isString, toolName: isString, status: isOneOf("executing", "completed", "failed") },
    { inputText: isString, input: isAny, output: isAny, durationMs: isFinite }
  ),
  step: isShape({ name: isString, status: isOneOf("running", "finished") }),
  source: isShape({ sourceId: isString }, { title: isString, url: isString, excerpt: isString }),
  event: isShape({ name: isString, at: isInt, data: isAny }),
  file: isShape({ fileId: isString, mediaType: isString }, { name: isString, url: isString, data: isAny }),
  request: isShape(
    {
      requestId: isString,
      kind: isOneOf(...requestKinds),
      title: isString,
      status: isOneOf("open", ...requestOutcomes)
    },
    {
      detail: isString,
      schema: isAny,
      options: isAny,
      toolCallId: isString,
      sensitive: isBoolean,
      expiresAt: isInt,
      answer: isAny,
      client: isString
    }
  )
}

const isPartType = (type: unknown): type is RunPart["type"] => typeof type === "string" && Object.hasOwn(parts, type)

// Later versions have parts of other types: the fold leaves them out.
const isPart: Check = (value) =>
  isObject(value) && (isPartType(value["type"]) ? parts[value["type"]](value) : isString(value["type"]))

const isSnapshot = isShape(
  {
    status: isOneOf("active", "completed", ...errorReasons),
    parts: isArrayOf(isPart),
    usage: isShape(...usage)
  },
  {
    thread: isString,
    agentName: isString,
    parentRunId: isString,
    input: isAny,
    state: isAny,
    commands: isArrayOf(isString),
    startedAt: isInt,
    endedAt: isInt,
    endedBy: isOneOf(...enders),
    thinking: isString,
    step: isInt,
    progress: isFinite,
    progressMessage: isString,
    dropped: isCount,
    result: isAny,
    error: isString
  }
)

const isAccepted = isShape({ id: isName, outcome: isOneOf("accepted") })

// Later servers may have reasons that are not known here.
const isRefused = isShape(
  { id: isName, outcome: isOneOf("refused"), reason: isString },
  { path: isString, message: isString }
)

const frames: { readonly [Type in ServerFrame["type"]]: Check } = {
  welcome: isShape({
    connection: isName,
    epoch: isEpoch,
    offset: isCount,
    recovered: isBoolean,
    snapshots: isCount,
    heartbeatMs: isInt,
    retentionMs: isInt
  }, { accepts: isAccepts }),
  events: isShape({ epoch: isEpoch, events: isArrayOf(isWireEvent) }, { upTo: isCount }),
  gap: isShape({
    epoch: isEpoch,
    from: isCount,
    to: isCount,
    reason: isOneOf("retention", "epoch", "slow"),
    snapshots: isCount
  }),
  snapshot: isShape({ run: isName, offset: isCount, state: isSnapshot }),
  status: isShape({ state: isOneOf("degraded", "live") }),
  ping: isAny,
  goodbye: isShape({ reason: isString, reconnectAfterMs: isCount }),
  error: isShape({ code: isString, message: isString }),
  command: (value) => isAccepted(value) || isRefused(value)
}

const isFrameType = (type: unknown): type is ServerFrame["type"] =>
  typeof type === "string" && Object.hasOwn(frames, type)

const isServerFrame = (value: unknown): value is ServerFrame =>
  isObject(value) && isFrameType(value["type"]) && frames[value["type"]](value)
