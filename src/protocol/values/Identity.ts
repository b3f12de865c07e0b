/**
 * Who an event belongs to: the ids of users, threads, runs and connections, and
 * the context an emitter is bound to.
 *
 * Every id is a branded string, so one cannot stand in for another, and every
 * id is checked against the same rules wherever it enters: 1 to 128 characters,
 * well-formed Unicode without white space, braces, and characters that nobody
 * sees, and none of the words that a bug elsewhere puts in place of a missing id
 * (`undefined`, `null`, …).
 *
 * Two ids that differ must look different to whoever reads a log, and must stay
 * different wherever they are written as bytes. So no id has a control or
 * formatting character (zero width ones, marks of writing direction, joiners,
 * variation selectors), a character without meaning (unassigned, private use) or
 * half of a surrogate pair, which UTF-8 cannot write. These are the characters
 * that RFC 8264 disallows in every class of names, with its joiners, which it
 * allows in some places. Letters of different scripts that look alike are not
 * told apart.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { checkId, maxIdLength } from "./IdRules.ts"

/**
 * An id of no kind of its own. JSON Schema cannot say "in any letter case", so
 * there the placeholders pass; arbitraries draw plain ids.
 *
 * @category models
 * @since 0.1.0
 */
export const Id = Schema.String.check(
  Schema.makeFilter(checkId, {
    arbitraryConstraint: {
      minLength: 1,
      maxLength: maxIdLength,
      patterns: [{ source: "^[A-Za-z0-9_.:@|-]{1,32}$", flags: "" }]
    },
    toJsonSchema: () => [
      {
        minLength: 1,
        maxLength: maxIdLength,
        pattern: String.raw`^[^\s\{\}\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]+$`
      },
      true
    ]
  })
)

/**
 * The person whose devices receive the events.
 *
 * @category models
 * @since 0.1.0
 */
export const UserId = Id.pipe(Schema.brand("UserId"))

/**
 * The id of a user.
 *
 * @category models
 * @since 0.1.0
 */
export type UserId = typeof UserId.Type

/**
 * One conversation of a user.
 *
 * @category models
 * @since 0.1.0
 */
export const ThreadId = Id.pipe(Schema.brand("ThreadId"))

/**
 * The id of a thread.
 *
 * @category models
 * @since 0.1.0
 */
export type ThreadId = typeof ThreadId.Type

/**
 * One execution of an agent.
 *
 * @category models
 * @since 0.1.0
 */
export const RunId = Id.pipe(Schema.brand("RunId"))

/**
 * The id of a run.
 *
 * @category models
 * @since 0.1.0
 */
export type RunId = typeof RunId.Type

/**
 * One event, for as long as any log or device remembers it.
 *
 * @category models
 * @since 0.1.0
 */
export const EventId = Id.pipe(Schema.brand("EventId"))

/**
 * The id of an event.
 *
 * @category models
 * @since 0.1.0
 */
export type EventId = typeof EventId.Type

/**
 * One socket of a device.
 *
 * @category models
 * @since 0.1.0
 */
export const ConnectionId = Id.pipe(Schema.brand("ConnectionId"))

/**
 * The id of a connection.
 *
 * @category models
 * @since 0.1.0
 */
export type ConnectionId = typeof ConnectionId.Type

/**
 * A W3C trace context, as the `traceparent` header carries it.
 *
 * @see https://www.w3.org/TR/trace-context/#traceparent-header
 * @category models
 * @since 0.1.0
 */
export const TraceParent = Schema.String.check(Schema.isPattern(/^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/u))

/**
 * The group of users whose limits and profile an emitter takes, such as `free`
 * or `pro`. The tiers themselves are part of the emitter's config.
 *
 * @category models
 * @since 0.1.0
 */
export const Tier = Id.pipe(Schema.brand("Tier"))

/**
 * The name of a tier.
 *
 * @category models
 * @since 0.1.0
 */
export type Tier = typeof Tier.Type

/**
 * All that an emitter is bound to when it is made. No call takes a user id
 * later: an emitter speaks to this user and to nobody else.
 *
 * - `userId` is the one required field.
 * - `threadId` goes with every event; without it devices see the event in every
 *   thread filter.
 * - `runId` names the run that `Emitter.run` starts; without it each run gets a
 *   fresh id.
 * - `tier` chooses limits, `priority` decides who keeps volatile events longer
 *   (0 lowest, 9 highest, default 5).
 * - `requestId` and `trace` travel with every event, to find it in logs. Without
 *   `trace` an event that is emitted in a span of a tracer has that span's
 *   `traceparent`.
 *
 * @category models
 * @since 0.1.0
 */
export const EmissionContext = Schema.Struct({
  userId: UserId,
  threadId: Schema.optionalKey(ThreadId),
  runId: Schema.optionalKey(RunId),
  tier: Schema.optionalKey(Tier),
  priority: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 }))),
  requestId: Schema.optionalKey(Id),
  trace: Schema.optionalKey(TraceParent)
})

/**
 * The context of an emitter, checked.
 *
 * @category models
 * @since 0.1.0
 */
export type EmissionContext = typeof EmissionContext.Type
