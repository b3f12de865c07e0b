/**
 * A wall clock that a test can step back and forth while time goes on.
 *
 * It stands on the clock that is there, a `TestClock` or the live one: waits and
 * monotonic times stay as they are, and only what people read is off by what was
 * stepped. `TestClock.adjust` works as ever.
 */
import { Clock, Context, Duration, Effect, Layer } from "effect"

export class WallClock extends Context.Service<WallClock, {
  /** Puts the wall clock forwards by so much, or back if it is negative. */
  readonly step: (by: Duration.Input) => Effect.Effect<void>
}>()("test/WallClock") {
  /** A clock and what steps it, for programs that take them in by hand. */
  static readonly make = Effect.map(Clock.Clock, (clock) => {
    let offMs = 0
    const millis = () => clock.currentTimeMillisUnsafe() + offMs
    const nanos = () => clock.currentTimeNanosUnsafe() + BigInt(offMs) * 1_000_000n
    const stepped: Clock.Clock = Object.assign(Object.create(clock), clock, {
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos)
    })
    const step = (by: Duration.Input) =>
      Effect.sync(() => {
        offMs += Duration.toMillis(Duration.fromInputUnsafe(by))
      })
    return { clock: stepped, wall: WallClock.of({ step }) }
  })

  static readonly layer = Layer.effectContext(
    Effect.map(WallClock.make, ({ clock, wall }) => Context.make(Clock.Clock, clock).pipe(Context.add(WallClock, wall)))
  )
}

/** Puts the wall clock forwards by so much, or back if it is negative. */
export const step = (by: Duration.Input): Effect.Effect<void, never, WallClock> =>
  Effect.flatMap(WallClock, (wall) => wall.step(by))
