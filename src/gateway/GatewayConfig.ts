/**
 * The settings of a gateway: one schema, read from plain options or from
 * `Config`, with every problem listed.
 *
 * Durations are written as text, such as `"25 seconds"`.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { maxDataBytes } from "../protocol/command/Command.ts"
import type { ConfigError } from "../protocol/settings/ConfigError.ts"
import type { Given } from "../protocol/values/Present.ts"
import * as Settings from "../protocol/settings/Settings.ts"
import { millis, Positive, Time, TimeInput } from "../protocol/settings/Settings.ts"

/** A text of this form, and what to say of any other. */
const TextOf = (pattern: RegExp, needed: string) =>
  Schema.String.check(
    Schema.makeFilter((text: string) =>
      pattern.test(text) ? undefined : `${needed} is needed, got ${JSON.stringify(text)}`
    )
  )

const Path = TextOf(/^\/[^?#\s]*$/u, `a path that starts with "/"`)

const isOrigin = (text: string): string | undefined => {
  const url = URL.parse(text)
  return url !== null && url.origin === text
    ? undefined
    : `an origin such as "https://app.example.com" is needed, got ${JSON.stringify(text)}`
}

/**
 * Which pages may connect: those of the same host as the request (`same`), any
 * page (`any`), or the listed origins.
 *
 * @category models
 * @since 0.1.0
 */
export const Origins = Schema.Union([
  Schema.Literals(["same", "any"]),
  Schema.Array(Schema.String.check(Schema.makeFilter(isOrigin)))
])

/**
 * The origins that are let in, as they are once decoded.
 *
 * @category models
 * @since 0.1.0
 */
export type Origins = typeof Origins.Type

const Limit = Schema.Struct({ bytes: Positive, after: Time })
const LimitText = Schema.Struct({ bytes: Schema.optionalKey(Positive), after: Schema.optionalKey(TimeInput) })

const Name = TextOf(/^[A-Za-z0-9_-]{1,32}$/u, "a name of 1 to 32 letters, digits, - or _")

const HeaderName = TextOf(/^[A-Za-z0-9-]+$/u, `the name of a header such as "x-real-ip"`)

// Level 0 of zlib does not compress.
const Level = Positive.check(
  Schema.makeFilter((level: number) => level <= 9 ? undefined : `a level from 1 to 9 is needed, got ${level}`)
)

const Resolved = Schema.Struct({
  name: Schema.optionalKey(Name),
  path: Path,
  origins: Origins,
  helloTimeout: Time,
  heartbeat: Time,
  maxFrameBytesIn: Positive,
  maxFrameBytesOut: Positive,
  framesPerSecond: Positive,
  maxSnapshots: Positive,
  connections: Schema.Struct({ perUser: Positive, perNode: Positive, perSecond: Positive }),
  requestsPerAddress: Positive,
  addressHeader: Schema.optionalKey(HeaderName),
  strangers: Schema.Struct({ silent: Positive, unauthenticated: Positive, refused: Positive }),
  silentTimeout: Time,
  slow: Schema.Struct({ volatile: Limit, batched: Limit, close: Limit }),
  backlog: Schema.Struct({ perConnection: Positive, perNode: Positive }),
  compression: Schema.Struct({
    enabled: Schema.Boolean,
    contextTakeover: Schema.Boolean,
    threshold: Positive,
    level: Level,
    memory: Positive
  }),
  commands: Schema.Struct({
    within: Time,
    maxDataBytes: Positive,
    rate: Schema.Struct({ perConnection: Positive, perUser: Positive }),
    open: Schema.Struct({ perConnection: Positive, perUser: Positive, perNode: Positive })
  }),
  expiryGrace: Time,
  degradedTimeout: Time,
  drainTimeout: Time,
  reconnectSpread: Time
})

type Resolved = typeof Resolved.Type

/** Room for the frame around one small event. */
const leastFrameBytes = 1024

/** Two frames are compressed at a time while others wait. */
const leastCompressionMemory = ({ maxFrameBytesOut }: Resolved): number => 4 * maxFrameBytesOut

const conflicts = (config: Resolved): ReadonlyArray<Schema.FilterIssue> => {
  const { connections, maxFrameBytesOut, slow } = config
  const issues: Array<Schema.FilterIssue> = []
  if (maxFrameBytesOut < leastFrameBytes) {
    issues.push({
      path: ["maxFrameBytesOut"],
      issue: `maxFrameBytesOut (${maxFrameBytesOut}) must not be less than ${leastFrameBytes}`
    })
  }
  if (connections.perUser > connections.perNode) {
    issues.push({
      path: ["connections", "perUser"],
      issue:
        `connections.perUser (${connections.perUser}) must not be over connections.perNode (${connections.perNode})`
    })
  }
  const { perConnection, perNode } = config.backlog
  if (perConnection < 2 * maxFrameBytesOut) {
    issues.push({
      path: ["backlog", "perConnection"],
      issue: `backlog.perConnection (${perConnection}) must be at least twice maxFrameBytesOut (${maxFrameBytesOut})`
    })
  }
  if (perConnection > perNode) {
    issues.push({
      path: ["backlog", "perConnection"],
      issue: `backlog.perConnection (${perConnection}) must not be over backlog.perNode (${perNode})`
    })
  }
  const { compression } = config
  if (compression.memory < leastCompressionMemory(config)) {
    const least = leastCompressionMemory(config)
    issues.push({
      path: ["compression", "memory"],
      issue:
        `compression.memory (${compression.memory}) must be at least four times maxFrameBytesOut (${maxFrameBytesOut}), ${least}`
    })
  }
  const { commands } = config
  if (commands.maxDataBytes > maxDataBytes) {
    issues.push({
      path: ["commands", "maxDataBytes"],
      issue: `commands.maxDataBytes (${commands.maxDataBytes}) must not be over ${maxDataBytes}, which devices know`
    })
  }
  for (
    const [name, wider, less, more] of [
      ["rate", "perUser", commands.rate.perConnection, commands.rate.perUser],
      ["open", "perUser", commands.open.perConnection, commands.open.perUser],
      ["open", "perNode", commands.open.perUser, commands.open.perNode]
    ] as const
  ) {
    if (less <= more) continue
    const narrower = wider === "perNode" ? "perUser" : "perConnection"
    issues.push({
      path: ["commands", name, narrower],
      issue: `commands.${name}.${narrower} (${less}) must not be over commands.${name}.${wider} (${more})`
    })
  }
  for (const [milder, harder] of [["volatile", "batched"], ["batched", "close"]] as const) {
    const [less, more] = [slow[milder], slow[harder]]
    if (less.bytes > more.bytes) {
      issues.push({
        path: ["slow", milder, "bytes"],
        issue: `slow.${milder}.bytes (${less.bytes}) must not be over slow.${harder}.bytes (${more.bytes})`
      })
    }
    if (Duration.isGreaterThan(less.after, more.after)) {
      issues.push({
        path: ["slow", milder, "after"],
        issue: `slow.${milder}.after (${millis(less.after)}) must not be over slow.${harder}.after (${
          millis(more.after)
        })`
      })
    }
  }
  return issues
}

const Overrides = Schema.Struct({
  name: Schema.optionalKey(Name),
  path: Schema.optionalKey(Path),
  origins: Schema.optionalKey(Origins),
  helloTimeout: Schema.optionalKey(TimeInput),
  heartbeat: Schema.optionalKey(TimeInput),
  maxFrameBytesIn: Schema.optionalKey(Positive),
  maxFrameBytesOut: Schema.optionalKey(Positive),
  framesPerSecond: Schema.optionalKey(Positive),
  maxSnapshots: Schema.optionalKey(Positive),
  connections: Schema.optionalKey(Schema.Struct({
    perUser: Schema.optionalKey(Positive),
    perNode: Schema.optionalKey(Positive),
    perSecond: Schema.optionalKey(Positive)
  })),
  requestsPerAddress: Schema.optionalKey(Positive),
  addressHeader: Schema.optionalKey(HeaderName),
  strangers: Schema.optionalKey(Schema.Struct({
    silent: Schema.optionalKey(Positive),
    unauthenticated: Schema.optionalKey(Positive),
    refused: Schema.optionalKey(Positive)
  })),
  silentTimeout: Schema.optionalKey(TimeInput),
  slow: Schema.optionalKey(Schema.Struct({
    volatile: Schema.optionalKey(LimitText),
    batched: Schema.optionalKey(LimitText),
    close: Schema.optionalKey(LimitText)
  })),
  backlog: Schema.optionalKey(Schema.Struct({
    perConnection: Schema.optionalKey(Positive),
    perNode: Schema.optionalKey(Positive)
  })),
  compression: Schema.optionalKey(Schema.Struct({
    enabled: Schema.optionalKey(Schema.Boolean),
    contextTakeover: Schema.optionalKey(Schema.Boolean),
    threshold: Schema.optionalKey(Positive),
    level: Schema.optionalKey(Level),
    memory: Schema.optionalKey(Positive)
  })),
  commands: Schema.optionalKey(Schema.Struct({
    within: Schema.optionalKey(TimeInput),
    maxDataBytes: Schema.optionalKey(Positive),
    rate: Schema.optionalKey(Schema.Struct({
      perConnection: Schema.optionalKey(Positive),
      perUser: Schema.optionalKey(Positive)
    })),
    open: Schema.optionalKey(Schema.Struct({
      perConnection: Schema.optionalKey(Positive),
      perUser: Schema.optionalKey(Positive),
      perNode: Schema.optionalKey(Positive)
    }))
  })),
  expiryGrace: Schema.optionalKey(TimeInput),
  degradedTimeout: Schema.optionalKey(TimeInput),
  drainTimeout: Schema.optionalKey(TimeInput),
  reconnectSpread: Schema.optionalKey(TimeInput)
})

const kibi = 1024

const defaults: Resolved = {
  path: "/events",
  origins: "same",
  helloTimeout: Duration.seconds(5),
  heartbeat: Duration.seconds(25),
  maxFrameBytesIn: 16 * kibi,
  maxFrameBytesOut: 64 * kibi,
  framesPerSecond: 50,
  maxSnapshots: 100,
  connections: { perUser: 20, perNode: 20_000, perSecond: 1_000 },
  requestsPerAddress: 100,
  strangers: { silent: 1_000, unauthenticated: 2_000, refused: 100 },
  silentTimeout: Duration.seconds(10),
  slow: {
    volatile: { bytes: 256 * kibi, after: Duration.seconds(2) },
    batched: { bytes: 1024 * kibi, after: Duration.seconds(10) },
    close: { bytes: 8192 * kibi, after: Duration.seconds(30) }
  },
  backlog: { perConnection: 8192 * kibi, perNode: 256 * 1024 * kibi },
  compression: { enabled: false, contextTakeover: false, threshold: kibi, level: 1, memory: 64 * 1024 * kibi },
  commands: {
    within: Duration.seconds(5),
    maxDataBytes,
    rate: { perConnection: 10, perUser: 20 },
    open: { perConnection: 16, perUser: 64, perNode: 4_096 }
  },
  expiryGrace: Duration.seconds(10),
  degradedTimeout: Duration.minutes(5),
  drainTimeout: Duration.seconds(5),
  reconnectSpread: Duration.seconds(5)
}

/** With a context small frames are what compression is for. */
const thresholdInContext = 64

const resolve = (overrides: typeof Overrides.Type): Resolved => ({
  ...defaults,
  ...overrides,
  connections: { ...defaults.connections, ...overrides.connections },
  strangers: { ...defaults.strangers, ...overrides.strangers },
  slow: {
    volatile: { ...defaults.slow.volatile, ...overrides.slow?.volatile },
    batched: { ...defaults.slow.batched, ...overrides.slow?.batched },
    close: { ...defaults.slow.close, ...overrides.slow?.close }
  },
  backlog: { ...defaults.backlog, ...overrides.backlog },
  compression: {
    ...defaults.compression,
    ...(overrides.compression?.contextTakeover === true ? { threshold: thresholdInContext } : {}),
    ...overrides.compression
  },
  commands: {
    ...defaults.commands,
    ...overrides.commands,
    rate: { ...defaults.commands.rate, ...overrides.commands?.rate },
    open: { ...defaults.commands.open, ...overrides.commands?.open }
  }
})

/** What these options are of. */
const about: Settings.About = { of: "Gateway", environment: "GATEWAY" }

/**
 * The schema of the settings, each with its default:
 *
 * - `name` of this gateway, none; the ids of its connections then begin with
 *   `<name>.`, so that a device's `welcome` tells which of several it is on;
 * - `path` of the route, `/events`;
 * - `origins` that may connect, `same`, over WebSocket, by `GET` and by `POST`:
 *   those of a list get CORS headers with credentials, `any` without; requests that
 *   come from no page always may;
 * - `helloTimeout`: how long a socket may stay without a valid hello, 5 seconds;
 * - `heartbeat`: how often a `ping` is sent, 25 seconds; a device that was silent
 *   for one and a half is taken for gone;
 * - `maxFrameBytesIn`: the largest frame a device may send, 16 KiB;
 *   `maxFrameBytesOut`: the largest `events` frame, 64 KiB, unless one event
 *   alone is larger;
 * - `framesPerSecond` that a device may send, 50, and as many at once;
 * - `maxSnapshots`: of how many runs that are not active a device may ask for the
 *   state when it connects, 100;
 * - `connections.perUser`, 20, and `connections.perNode`, 20,000;
 *   `connections.perSecond`: how many devices may come per second, and at once,
 *   1,000; further ones are told to come back later. Who is no device does not count;
 * - `requestsPerAddress`: how many requests of one address are looked at per second
 *   that turn out to be no device's, and as many at once, 100; `addressHeader` that
 *   names the address where a proxy stands before, none (see `Admission`, which
 *   may also be provided instead);
 * - `strangers`: how many sockets may be open whose device is not known:
 *   `silent` ones on which no request has come, 1,000, `unauthenticated` ones
 *   without a valid hello or being identified, 2,000, and `refused` upgrades whose
 *   device has not hung up, 100. Where one more comes, the oldest of its kind is
 *   cut. They need fewer descriptors than the process may open. On a server that
 *   the layer of `HttpRouter.serve` is not given, they count from its first request on;
 * - `silentTimeout`: how long a socket may stay without a request, 10 seconds;
 * - `slow`: when a device that reads too slowly loses its volatile events
 *   (`slow.volatile`: 256 KiB behind, or behind for 2 seconds), its batched ones
 *   (`slow.batched`: 1 MiB, 10 seconds), and its connection (`slow.close`: 8 MiB
 *   of critical events, 30 seconds);
 * - `backlog`: the most bytes that may wait for the network: `backlog.perConnection`,
 *   8 MiB, which must leave room for the largest frame, event and snapshot; and
 *   `backlog.perNode`, 256 MiB, of all devices together, those being closed
 *   included. Past three quarters of it, the devices for which most waits are closed
 *   with 4502;
 * - `compression`: whether frames are compressed on their way to devices that offer it
 *   (`permessage-deflate` of WebSocket, `gzip` for server-sent events).
 *   `compression.enabled`, no: read in the gateway's README what it may give away first.
 *   `compression.contextTakeover`: whether a frame may refer to those before it, no.
 *   `compression.threshold`: frames of fewer bytes go out as they are, 1 KiB, or 64 bytes
 *   with a context. `compression.level`: how hard zlib tries, from 1 to 9, 1, since more
 *   wins hardly a byte. `compression.memory`: the most bytes for frames that wait to be
 *   compressed, and for contexts (1 KiB for each device), 64 MiB; what is beyond goes out
 *   as it is;
 * - `commands`: what devices may ask of runs. `commands.within`: how long a run may take
 *   to decide about a command, 5 seconds; then it is refused as `unavailable`.
 *   `commands.maxDataBytes`: how large the data of one may be, 8 KiB, which is also the
 *   most. `commands.rate`: how many may come per second, and as many at once, from
 *   one connection (`perConnection`, 10) and from one user (`perUser`, 20, those that are
 *   posted included); they do not count as frames. `commands.open`: how many may be
 *   undecided, of one connection (`perConnection`, 16), one user (`perUser`, 64) and this
 *   node (`perNode`, 4,096). What is beyond is refused as `tooMany`, or `invalid` for its
 *   size, and the connection stays;
 * - `expiryGrace`: how long a connection outlives its credential, 10 seconds;
 * - `degradedTimeout`: for how long devices are kept while the broker is away, 5
 *   minutes (up to a tenth longer, at random); then they are closed with 4503, so
 *   that they may find another node;
 * - `drainTimeout`: how long a closing gateway waits for devices to hang up,
 *   5 seconds;
 * - `reconnectSpread`: devices that are sent away come back within this time, at
 *   random, 5 seconds.
 *
 * @category config
 * @since 0.1.0
 */
export const GatewayConfig = Overrides.pipe(
  Schema.decodeTo(
    Schema.toType(Resolved).check(Schema.makeFilter(conflicts)),
    SchemaTransformation.transform({ decode: resolve, encode: (config): typeof Overrides.Type => config })
  )
)

/**
 * The settings, complete.
 *
 * @category config
 * @since 0.1.0
 */
export type GatewayConfig = typeof GatewayConfig.Type

/**
 * The settings as plain options: every field may be left out.
 *
 * @category config
 * @since 0.1.0
 */
export type Options = Given<typeof GatewayConfig.Encoded>

/**
 * Checks plain options, such as a parsed file, and completes them.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { GatewayConfig } from "effect-emitter/gateway"
 *
 * const settings = Effect.runSync(GatewayConfig.decode({ path: "/events" }))
 * console.assert(settings.path === "/events")
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const decode: (options: unknown) => Effect.Effect<GatewayConfig, ConfigError> = Settings.decoder(
  GatewayConfig,
  about
)

/**
 * The same settings from `Config`, under the name `GATEWAY`: `GATEWAY_PATH`,
 * `GATEWAY_HEARTBEAT`, … when the provider reads environment variables in
 * constant case (`ConfigProvider.constantCase`), as `Gateway.layerConfig()` does
 * by itself. What is not set has its default.
 *
 * @category config
 * @since 0.1.0
 */
export const config: Config.Config<GatewayConfig> = Config.schema(GatewayConfig, about.environment).pipe(
  Config.withDefault(defaults)
)

/**
 * Reads the options from `Config`s, one for all of them or one a field, and checks
 * and completes them.
 *
 * ```ts
 * import { Config } from "effect"
 * import { GatewayConfig } from "effect-emitter/gateway"
 *
 * const settings = GatewayConfig.read({ maxSnapshots: Config.Int("EVENTS_SNAPSHOTS") })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const read = (options: Config.Wrap<Options>): Effect.Effect<GatewayConfig, ConfigError> =>
  Effect.flatMap(Settings.read(options, about), decode)
