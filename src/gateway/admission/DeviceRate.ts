/**
 * How many devices may come per second, and as many at once. Who is no device does
 * not count.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Schema from "effect/Schema"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import { TokenBucket } from "./TokenBucket.ts"

/**
 * The rate of one node.
 *
 * @category models
 * @since 0.1.0
 */
export class DeviceRate {
  private readonly clock: Clock.Clock
  private readonly bucket: TokenBucket
  private refused = 0

  constructor(perSecond: number, clock: Clock.Clock) {
    this.clock = clock
    this.bucket = new TokenBucket(perSecond, Monotonic.millisUnsafe(clock))
  }

  /** How many devices came too many. */
  get refusedCount(): number {
    return this.refused
  }

  /** Takes a place among the devices of this second; `false` when there is none. */
  take(): boolean {
    if (this.bucket.take(Monotonic.millisUnsafe(this.clock))) return true
    this.refused++
    return false
  }
}

/**
 * The device came with too many others.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManyAtOnce extends Schema.TaggedError<TooManyAtOnce>()("TooManyAtOnce", {}) {
  override get message() {
    return "too many devices came at once"
  }
}
