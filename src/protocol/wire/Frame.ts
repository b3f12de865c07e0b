/**
 * The frames of the wire protocol, version 1, and their codec.
 *
 * A frame is one JSON text message. Both sides ignore fields they do not know;
 * a frame type they do not know is an error. Every event travels in an `events`
 * frame, alone or with others.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { CommandId, Outcome, Request } from "../command/Command.ts"
import { ConnectionId, EventId, RunId, ThreadId, TraceParent } from "../values/Identity.ts"
import { Epoch, Offset, Position } from "../values/Position.ts"
import { maxConfirmed } from "../values/WireLimits.ts"
import * as RunEvents from "../event/RunEvents.ts"
import { RunSnapshot } from "../run/RunSnapshot.ts"

/**
 * The WebSocket subprotocol both sides ask for.
 *
 * @category constants
 * @since 0.1.0
 */
export const subprotocol = "emitter.v1.json"

/**
 * An event as devices receive it. `at` is in milliseconds since the Unix epoch;
 * `confirm` asks for an acknowledgement at once; `request` and `trace` find the
 * event in logs; `data` is the payload of the event's definition. `keep` says how an
 * event that is not built in is kept in the state of its run.
 *
 * @category models
 * @since 0.1.0
 */
export const WireEvent = Schema.Struct({
  offset: Offset,
  id: EventId,
  type: Schema.NonEmptyString,
  keep: Schema.optionalKey(Schema.Literals(RunEvents.keeps)),
  at: Schema.Int,
  run: Schema.optionalKey(RunId),
  thread: Schema.optionalKey(ThreadId),
  confirm: Schema.optionalKey(Schema.Boolean),
  request: Schema.optionalKey(Schema.String),
  trace: Schema.optionalKey(TraceParent),
  data: Schema.JsonObject
})

/**
 * An event as it stands in a frame.
 *
 * @category models
 * @since 0.1.0
 */
export type WireEvent = typeof WireEvent.Type

/**
 * Names of what one side takes beyond the first version of the protocol: at most
 * 32 names of at most 64 characters. Names that the other side does not know are
 * ignored, and a frame that the other side did not name is not sent to it.
 *
 * @category models
 * @since 0.1.0
 */
export const Accepts = Schema.Array(Schema.NonEmptyString.check(Schema.isMaxLength(64))).check(Schema.isMaxLength(32))

/**
 * The first frame of a client: who it is and where it left off. The token may
 * come in the `Authorization` header instead. With `threads`, only events of
 * these threads (and those of no thread) are sent. `snapshots` asks for the state of
 * the active runs and of so many others, the newest, with a `resume` as well.
 * `accepts` names what the client takes beyond the first version of the protocol;
 * absent, that is nothing.
 *
 * @category client frames
 * @since 0.1.0
 */
export const Hello = Schema.Struct({
  type: Schema.tag("hello"),
  token: Schema.optionalKey(Schema.String),
  resume: Schema.optionalKey(Position),
  threads: Schema.optionalKey(Schema.Array(ThreadId).check(Schema.isMaxLength(64))),
  snapshots: Schema.optionalKey(Schema.Natural),
  client: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(128))),
  accepts: Schema.optionalKey(Accepts)
})

/**
 * How many events an acknowledgement names at most.
 *
 * @category constants
 * @since 0.1.0
 */
export { maxConfirmed }

/**
 * All events up to `offset` were handled. With `epoch` it counts for that epoch
 * alone, so one that is on its way when the log loses its memory counts for none;
 * without, for the connection's current one. `confirmed` names the offsets of
 * handled events that asked for a confirmation, at most 64 of them: a server knows
 * by itself only of those that it wrote on this connection.
 *
 * @category client frames
 * @since 0.1.0
 */
export const Ack = Schema.Struct({
  type: Schema.tag("ack"),
  offset: Offset,
  epoch: Schema.optionalKey(Epoch),
  confirmed: Schema.optionalKey(Schema.Array(Offset).check(Schema.isMaxLength(maxConfirmed)))
})

/**
 * An `ack` that stands alone, outside of a connection: it must name the epoch of
 * its offset, and it confirms the events that it names. Devices that receive server-sent events send it with `POST`; with
 * `connection`, the id of their welcome, it is a sign of life of their stream.
 *
 * @category client frames
 * @since 0.1.0
 */
export const Acknowledgement = Schema.Struct({
  ...Ack.fields,
  epoch: Epoch,
  connection: Schema.optionalKey(ConnectionId)
})

/**
 * An acknowledgement that a device posts.
 *
 * @category client frames
 * @since 0.1.0
 */
export type Acknowledgement = typeof Acknowledgement.Type

/**
 * Answers a `ping`.
 *
 * @category client frames
 * @since 0.1.0
 */
export const Pong = Schema.Struct({ type: Schema.tag("pong") })

/**
 * A `pong` that stands alone: a sign of life of the server-sent events whose
 * welcome named this connection.
 *
 * @category client frames
 * @since 0.1.0
 */
export const SignOfLife = Schema.Struct({ ...Pong.fields, connection: ConnectionId })

/**
 * A pong that a device posts.
 *
 * @category client frames
 * @since 0.1.0
 */
export type SignOfLife = typeof SignOfLife.Type

/**
 * Renews the credential without a new connection.
 *
 * @category client frames
 * @since 0.1.0
 */
export const Token = Schema.Struct({ type: Schema.tag("token"), token: Schema.String })

/**
 * What a device asks of a run. It is sent only to a server whose welcome accepts
 * `command`, or posted alone to the same path.
 *
 * The answer is a {@link CommandOutcome} of the same id. Where none comes, it is not
 * known what became of the command: the same frame may be sent again, on any
 * connection, and gets the outcome that was decided.
 *
 * @category client frames
 * @since 0.2.0
 */
export const Command = Schema.Struct({ type: Schema.tag("command"), ...Request.fields })

/**
 * What a device asks of a run.
 *
 * @category models
 * @since 0.2.0
 */
export type Command = typeof Command.Type

/**
 * Every frame a client sends.
 *
 * @category client frames
 * @since 0.1.0
 */
export const ClientFrame = Schema.Union([Hello, Ack, Pong, Token, Command])

/**
 * Every frame a client sends.
 *
 * @category client frames
 * @since 0.1.0
 */
export type ClientFrame = typeof ClientFrame.Type

/**
 * The answer to `hello`. `offset` is the head of the log; `recovered` is false
 * when the resume position could not be served, and a `gap` follows. `snapshots`
 * is how many `snapshot` frames follow it: none when the device resumes and asked for
 * none, or when a gap follows, since then they come after the gap. `accepts` names what the server takes beyond the first
 * version of the protocol; absent, that is nothing.
 *
 * @category server frames
 * @since 0.1.0
 */
export const Welcome = Schema.Struct({
  type: Schema.tag("welcome"),
  connection: ConnectionId,
  epoch: Epoch,
  offset: Offset,
  recovered: Schema.Boolean,
  snapshots: Schema.Natural,
  heartbeatMs: Schema.Int,
  retentionMs: Schema.Int,
  accepts: Schema.optionalKey(Accepts)
})

/**
 * Events in order. `upTo` tells that all offsets up to it were sent or filtered
 * out by the connection's threads.
 *
 * @category server frames
 * @since 0.1.0
 */
export const Events = Schema.Struct({
  type: Schema.tag("events"),
  epoch: Epoch,
  upTo: Schema.optionalKey(Offset),
  events: Schema.Array(WireEvent)
})

/**
 * Why a device will not get a stretch of offsets: they are no longer kept, the
 * log lost its memory, or the device read too slowly.
 *
 * @category models
 * @since 0.1.0
 */
export const GapReason = Schema.Literals(["retention", "epoch", "slow"])

/**
 * One of the reasons that `GapReason` lists.
 *
 * @category models
 * @since 0.1.0
 */
export type GapReason = typeof GapReason.Type

/**
 * The offsets `from` to `to` of `epoch`, both included, will not come; none
 * when `to` is `from - 1`. After reason `epoch` all that the device knew of its
 * old epoch is void, and runs it believes open are lost unless a snapshot says
 * otherwise. `snapshots` is how many `snapshot` frames follow; it replaces what
 * was still to come of an earlier welcome or gap.
 *
 * @category server frames
 * @since 0.1.0
 */
export const Gap = Schema.Struct({
  type: Schema.tag("gap"),
  epoch: Epoch,
  from: Offset,
  to: Offset,
  reason: GapReason,
  snapshots: Schema.Natural
})

/**
 * A run's state after the event with this `offset`, standing for events that a
 * device did not get. Later `events` frames may still bring events of the run
 * with smaller offsets: those are in the state already.
 *
 * @category server frames
 * @since 0.1.0
 */
export const Snapshot = Schema.Struct({
  type: Schema.tag("snapshot"),
  run: RunId,
  offset: Offset,
  state: RunSnapshot
})

/**
 * Whether events come in time. While `degraded`, events may be late: the server
 * cannot read the log, or a program holds events that it could not write there.
 * The connection is kept.
 *
 * @category server frames
 * @since 0.1.0
 */
export const Status = Schema.Struct({ type: Schema.tag("status"), state: Schema.Literals(["degraded", "live"]) })

/**
 * Asks for a `pong`.
 *
 * @category server frames
 * @since 0.1.0
 */
export const Ping = Schema.Struct({ type: Schema.tag("ping") })

/**
 * A planned close follows; reconnect after `reconnectAfterMs`.
 *
 * @category server frames
 * @since 0.1.0
 */
export const Goodbye = Schema.Struct({
  type: Schema.tag("goodbye"),
  reason: Schema.String,
  reconnectAfterMs: Schema.Natural
})

/**
 * A close for cause follows. `code` is the name of the close code.
 *
 * @category server frames
 * @since 0.1.0
 */
export const ErrorFrame = Schema.Struct({ type: Schema.tag("error"), code: Schema.String, message: Schema.String })

const [isAccepted, isRefused] = Outcome.members
const answer = { type: Schema.tag("command"), id: CommandId }

/**
 * What became of the command with this id. Each is answered when it is decided, so
 * answers need not come in the order of their commands. A server sends none but in
 * answer to a command.
 *
 * @category server frames
 * @since 0.2.0
 */
export const CommandOutcome = Schema.Union([
  Schema.Struct({ ...answer, ...isAccepted.fields }),
  Schema.Struct({ ...answer, ...isRefused.fields })
])

/**
 * What became of a command.
 *
 * @category models
 * @since 0.2.0
 */
export type CommandOutcome = typeof CommandOutcome.Type

/**
 * Every frame a server sends.
 *
 * @category server frames
 * @since 0.1.0
 */
export const ServerFrame = Schema.Union([
  Welcome,
  Events,
  Gap,
  Snapshot,
  Status,
  Ping,
  Goodbye,
  ErrorFrame,
  ...CommandOutcome.members
])

/**
 * Every frame a server sends.
 *
 * @category server frames
 * @since 0.1.0
 */
export type ServerFrame = typeof ServerFrame.Type

/**
 * A message that is no frame. `reason` tells what is wrong with it: no JSON, a
 * `type` nobody knows, or fields that break the frame's schema (`detail` names
 * the path). Nothing of the message itself is part of the error: it may hold a
 * token.
 *
 * Of a `command` the error says `command`: its id, by which it can be refused, and
 * the path of the field that is wrong. One without an id is just no frame.
 *
 * @category errors
 * @since 0.1.0
 */
export class FrameError extends Schema.TaggedError<FrameError>()("FrameError", {
  reason: Schema.Literals(["json", "type", "fields"]),
  detail: Schema.String,
  command: Schema.optionalKey(Schema.Struct({ id: CommandId, path: Schema.String }))
}) {
  override get message() {
    return this.detail
  }
}

/**
 * What a device without a socket posts.
 *
 * @category models
 * @since 0.1.0
 */
export type Posted = Acknowledgement | SignOfLife | Command

type SchemasOf<F extends { readonly type: string }> = {
  readonly [Type in F["type"]]: Schema.Codec<Extract<F, { readonly type: Type }>, object>
}

const decoder = <F extends ClientFrame | Posted | ServerFrame>(
  schemas: SchemasOf<F>
) => {
  const byType = new Map(
    Object.entries<Schema.Codec<F, object>>(schemas).map(([type, schema]) =>
      [type, Schema.decodeUnknownResult(schema, { errors: "first" })] as const
    )
  )
  const known = Array.from(byType.keys()).join(", ")
  return (text: string): Result.Result<F, FrameError> => {
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch {
      return Result.fail(new FrameError({ reason: "json", detail: "the message is not JSON" }))
    }
    const type: unknown = typeof json === "object" && json !== null && "type" in json ? json.type : undefined
    if (typeof type !== "string") {
      return Result.fail(new FrameError({ reason: "type", detail: `the message has no "type"` }))
    }
    const decode = byType.get(type)
    if (decode === undefined) {
      return Result.fail(new FrameError({ reason: "type", detail: `the message's "type" is none of ${known}` }))
    }
    return Result.mapError(decode(json), (error) => fieldsError(type, error, json))
  }
}

// Below `data` and `result` a path would go on with keys of the sender's own choosing.
const fieldsError = (type: string, { issue, message }: Schema.SchemaError, json: unknown): FrameError =>
  new FrameError({
    reason: "fields",
    detail: `${type}: ${message.replaceAll(/\["(data|result)"\]\[.*$/gm, `["$1"]`).replaceAll(/\s*\n\s*/g, " ")}`,
    ...(type === Command.fields.type.schema.literal ? refusable(json, issue) : {})
  })

const decodeId = Schema.decodeUnknownResult(Schema.Struct({ id: CommandId }))

const refusable = (json: unknown, issue: SchemaIssue.Issue): Pick<FrameError, "command"> =>
  Result.match(decodeId(json), {
    onSuccess: ({ id }) => ({ command: { id, path: fieldOf(issue) } }),
    onFailure: () => ({})
  })

const toStandard = SchemaIssue.makeFormatterStandardSchemaV1()

const fieldOf = (issue: SchemaIssue.Issue): string => {
  const [segment = ""] = toStandard(issue).issues[0]?.path ?? []
  return String(typeof segment === "object" ? segment.key : segment)
}

/**
 * Reads a frame that a client sent.
 *
 * @category codecs
 * @since 0.1.0
 */
export const decodeClient = decoder<ClientFrame>({ hello: Hello, ack: Ack, pong: Pong, token: Token, command: Command })

/**
 * Reads a frame that stands alone, outside of a connection.
 *
 * @category codecs
 * @since 0.1.0
 */
export const decodePosted = decoder<Posted>({ ack: Acknowledgement, pong: SignOfLife, command: Command })

/**
 * Reads a frame that a server sent.
 *
 * @category codecs
 * @since 0.1.0
 */
export const decodeServer = decoder<ServerFrame>({
  welcome: Welcome,
  events: Events,
  gap: Gap,
  snapshot: Snapshot,
  status: Status,
  ping: Ping,
  goodbye: Goodbye,
  error: ErrorFrame,
  command: CommandOutcome
})

/**
 * Writes a frame. Frames are built by code that knows their types, so nothing
 * is checked again.
 *
 * @category codecs
 * @since 0.1.0
 */
export const encode = (frame: ClientFrame | ServerFrame): string => JSON.stringify(frame)
