/**
 * What the server ends of other protocols can be told, besides what to run.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Schema from "effect/Schema"
import type { Principal } from "../../gateway/authentication/Principal.ts"
import type { ConfigError, Part } from "../../protocol/settings/ConfigError.ts"
import { decoder, positiveOr, TimeInput } from "../../protocol/settings/Settings.ts"
import type { EmissionContext } from "../../protocol/values/Identity.ts"
import type { Given } from "../../protocol/values/Present.ts"

/**
 * The limits of a server end, and whether it compresses, as a schema.
 *
 * @category options
 * @since 0.2.0
 */
export const Limits = Schema.Struct({
  heartbeat: TimeInput.pipe(Schema.withDecodingDefault(Effect.succeed("15 seconds"))),
  bodyTimeout: TimeInput.pipe(Schema.withDecodingDefault(Effect.succeed("10 seconds"))),
  maxBodyBytes: positiveOr(4 * 1024 * 1024),
  runsPerUser: positiveOr(16),
  streamsPerUser: positiveOr(20),
  compression: Schema.Boolean.pipe(Schema.withDecodingDefault(Effect.succeed(false)))
})

/**
 * The limits of a server end, checked.
 *
 * @category options
 * @since 0.2.0
 */
export type Limits = typeof Limits.Type

/**
 * Options of a server end:
 *
 * - `context`: what the emitter of a run is bound to besides user, thread and run, such
 *   as a `tier`, made from the principal and the request. Nothing by default. A context
 *   that breaks the rules is a defect.
 * - `heartbeat`: how often a comment keeps a stream open, `"15 seconds"` by default.
 * - `maxBodyBytes` a request may have, 4 MiB by default, and `bodyTimeout`, within which
 *   it has to arrive, `"10 seconds"`.
 * - `runsPerUser`: how many runs of a user this layer has in progress at most, 16 by
 *   default, and `streamsPerUser`, how many answers it writes to a user at a time, 20.
 *   What is more is refused with status 429.
 * - `compression`: whether streams are in gzip for clients that take it, no. They are
 *   compressed as the gateway's own are, within the same memory, so the gateway's
 *   `compression` has to be enabled as well: its README says what it may give away.
 *
 * @category options
 * @since 0.2.0
 */
export type Options = Given<Partial<typeof Limits.Encoded>> & {
  readonly context?:
    | ((
      principal: Principal,
      request: HttpServerRequest
    ) => Given<Omit<typeof EmissionContext.Encoded, "userId" | "threadId" | "runId">>)
    | undefined
}

/**
 * Checks and completes the limits. Every problem is listed, also an option that does not
 * exist.
 *
 * @category options
 * @since 0.2.0
 */
export const decodeLimits = (of: Part, limits: object): Effect.Effect<Limits, ConfigError> =>
  decoder(Limits, { of, environment: "" })(limits)
