/**
 * What can be set for the demo: the port, by `PORT`, the file of its log, by `DEMO_LOG`, and how fast its agent goes, by
 * `DEMO_PACE`. The emitter's own settings are read as well (`EMITTER_PROFILE`, …).
 */
import { Config, Effect, Layer, Schema } from "effect"
import { Pace, times } from "../agent/Pace.ts"

/** The port when `PORT` is not set. */
export const defaultPort = 4321

/** `PORT` is no port. */
export class InvalidPort extends Schema.TaggedError<InvalidPort>()("InvalidPort", { value: Schema.String }) {
  override get message() {
    return `PORT must be a whole number from 0 to 65535, and is "${this.value}". Try: PORT=${defaultPort + 1} npm start`
  }
}

/** The demo cannot listen on `port`. */
export class PortUnavailable extends Schema.TaggedError<PortUnavailable>()("PortUnavailable", {
  port: Schema.Natural,
  code: Schema.String
}) {
  override get message() {
    const why = this.code === "EADDRINUSE"
      ? `Port ${this.port} is taken: something is listening on it already, perhaps another demo. Stop that, or`
      : `Port ${this.port} cannot be used (${this.code}):`
    return `${why} choose another one: PORT=${this.port === defaultPort ? defaultPort + 1 : defaultPort} npm start`
  }
}

/** The port to listen on; 0 lets the system choose a free one. */
export const port: Effect.Effect<number, InvalidPort | Config.ConfigError> = Config.String("PORT").pipe(
  Config.withDefault(String(defaultPort)),
  Effect.flatMap((value) =>
    /^\d{1,5}$/u.test(value.trim()) && Number(value) <= 65_535
      ? Effect.succeed(Number(value))
      : Effect.fail(new InvalidPort({ value }))
  )
)

/**
 * The file of the log of a demo that listens on `port`: each has one of its own. A demo on any free port keeps its log in
 * memory, and so does one whose `DEMO_LOG` is `memory`.
 */
export const log = (port: number): Effect.Effect<string | undefined, Config.ConfigError> =>
  Effect.map(
    Config.String("DEMO_LOG").pipe(Config.withDefault(port === 0 ? "memory" : `.tmp/demo/events-${port}.db`)),
    (file) => file === "memory" ? undefined : file
  )

/** The most that `DEMO_PACE` may be: so many times as fast as a reader. */
const fastest = 100

/** `DEMO_PACE` is no pace. */
export class InvalidPace extends Schema.TaggedError<InvalidPace>()("InvalidPace", { value: Schema.String }) {
  override get message() {
    return `DEMO_PACE must be a number from 0.1 to ${fastest}, and is "${this.value}". Try: DEMO_PACE=2 npm start`
  }
}

/** How many times as fast as a reader the agent goes. */
export const pace: Effect.Effect<number, InvalidPace | Config.ConfigError> = Config.String("DEMO_PACE").pipe(
  Config.withDefault("1"),
  Effect.flatMap((value) =>
    /^\d{1,3}(?:\.\d+)?$/u.test(value.trim()) && Number(value) >= 0.1 && Number(value) <= fastest
      ? Effect.succeed(Number(value))
      : Effect.fail(new InvalidPace({ value }))
  )
)

/** Has runs go at the pace that is set. */
export const paceLayer: Layer.Layer<never, InvalidPace | Config.ConfigError> = Layer.effect(
  Pace,
  Effect.map(pace, times)
)
