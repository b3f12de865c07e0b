/**
 * A broker as the command line needs it: to connect, to look for what is wrong, and
 * to look for the user of an event or a run.
 *
 * @since 0.2.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import type { Broker } from "../../broker/Broker.ts"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import { Failed } from "../output/Failed.ts"
import type { Finding } from "../output/Finding.ts"

/**
 * What to look for: a run, or an event by what its id is made of (see `EventName`).
 *
 * @category models
 * @since 0.2.0
 */
export type Sought = { readonly run: string } | { readonly source: string }

/**
 * Whether the user's log has ever taken the number of a source: it did (`taken`), it
 * did not though it knows the source (`free`), or it knows nothing of the source
 * (`unknown`).
 *
 * @category models
 * @since 0.2.0
 */
export type Taken = "taken" | "free" | "unknown"

/**
 * - `layer` is the broker, with its settings from the environment.
 * - `checks` looks for what is wrong. It writes nothing that stays.
 * - `usersOf` gives the users of whom the broker knows what is sought. It may look
 *   through all keys, and calls `seen` with how many users it has looked at.
 * - `taken` tells whether a log has taken an event.
 * - `retention` tells in words how long events are kept.
 *
 * @category models
 * @since 0.2.0
 */
export interface Backend {
  readonly layer: Layer.Layer<Broker, ConfigError | Failed>
  readonly checks: Effect.Effect<ReadonlyArray<Finding>>
  readonly usersOf: (
    sought: ReadonlyArray<Sought>,
    seen: (users: number) => void
  ) => Effect.Effect<ReadonlyArray<UserId>, ConfigError | Failed>
  readonly taken: (user: UserId, source: string, sequence: number) => Effect.Effect<Taken, ConfigError | Failed>
  readonly retention: Effect.Effect<string, ConfigError>
}

/**
 * A backend before it is loaded: its `name`, the `prefix` of its settings in the
 * environment, their schema, how they are read, and the npm `package` that it needs.
 *
 * @category models
 * @since 0.2.0
 */
export interface BackendEntry {
  readonly name: string
  readonly prefix: string
  readonly schema: Schema.Top
  readonly read: Effect.Effect<unknown, ConfigError>
  readonly package: string
  readonly load: () => Promise<Backend>
}

/**
 * Stands for a broker that cannot be used with what it found.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerRefused = ({ message }: { readonly message: string }): Layer.Layer<Broker, Failed> =>
  Layer.effectContext<Broker, Failed, never>(Effect.fail(new Failed({ exit: "no", message })))

/**
 * How long events are kept, in words, by options whose settings have this prefix.
 *
 * @category conversions
 * @since 0.2.0
 */
export const retentionOf = (prefix: string) =>
({ maxAge, maxBytes, maxEvents }: {
  readonly maxAge: Duration.Duration
  readonly maxBytes: number
  readonly maxEvents: number
}): string =>
  `${maxEvents} events, ${maxBytes} bytes and ${Duration.format(maxAge)} of each user are kept ` +
  `(${prefix}_MAX_EVENTS, ${prefix}_MAX_BYTES, ${prefix}_MAX_AGE)`
