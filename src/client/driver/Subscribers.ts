/**
 * Hands what a client receives to everyone who subscribed, and tells up to where
 * all of them have handled it.
 *
 * - Each subscriber sees every entry from its subscription on, in order. The
 *   first one also sees what came before it.
 * - An entry counts as handled when the subscriber asks for more; while nobody
 *   has subscribed any more, when the next entry comes.
 * - What a subscriber that has left had not taken waits for the next one, until the
 *   next entry comes.
 * - When `capacity` entries wait for a subscriber, either no more must come until
 *   it has taken half of them (`pause`), or it gets those and then fails with
 *   `SubscriberOverflow`, and the others do not notice (`fail`).
 *
 * @since 0.1.0
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Position } from "../../protocol/values/Position.ts"

/**
 * Something to hand over. `position` is where a program stands that has handled
 * it; with `urgent` it wants to know at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry<A> {
  readonly value: A
  readonly position: Position
  readonly urgent: boolean
}

interface Numbered<A> extends Entry<A> {
  readonly number: number
}

interface Subscriber<A, E> {
  readonly queue: Queue.Queue<Numbered<A>, E | SubscriberOverflow | Cause.Done>
  /** The number up to which this subscriber has handled entries. */
  handled: number
  /** The number of the last entry that it took. */
  taken: number
  /** Whether it did not keep up. */
  overflown: boolean
}

/**
 * What happens when a subscriber does not keep up.
 *
 * @category models
 * @since 0.1.0
 */
export type Overflow = "pause" | "fail"

/** The most entries that a subscriber takes at a time. */
const atOnce = 64

/**
 * The subscribers of one client.
 *
 * @category fan-out
 * @since 0.1.0
 */
export class Subscribers<A, E> {
  private readonly capacity: number
  private readonly overflow: Overflow
  private readonly listener: Listener
  private readonly active = new Set<Subscriber<A, E>>()
  /** What the next one who subscribes takes over: from before the first, or from one who has left. */
  private waiting: Subscriber<A, E> | undefined
  private left: Subscriber<A, E> | undefined
  private pending: Array<{ readonly number: number; readonly position: Position }> = []
  private number = 0
  private end: Cause.Cause<E | Cause.Done> | undefined

  private constructor(capacity: number, overflow: Overflow, listener: Listener) {
    this.capacity = capacity
    this.overflow = overflow
    this.listener = listener
  }

  /**
   * No subscribers yet.
   */
  static make<A, E>(capacity: number, overflow: Overflow, listener: Listener): Effect.Effect<Subscribers<A, E>> {
    const self = new Subscribers<A, E>(capacity, overflow, listener)
    return Effect.map(self.subscriber, (first) => {
      self.waiting = first
      self.active.add(first)
      return self
    })
  }

  /**
   * Hands over a batch; `position` is where it ends. It may be empty.
   */
  offer(batch: ReadonlyArray<Entry<A>>, position: Position): void {
    if (this.left !== undefined) {
      this.active.delete(this.left)
      this.waiting = this.left = undefined
    }
    for (const entry of batch) this.put(entry)
    this.number += 1
    this.pending.push({ number: this.number, position })
    for (const subscriber of this.active) this.markIdle(subscriber)
    this.report()
  }

  /**
   * How many entries wait for the subscriber that is furthest behind.
   */
  get backlog(): number {
    let most = 0
    for (const each of this.active) if (each !== this.left) most = Math.max(most, Queue.sizeUnsafe(each.queue))
    return most
  }

  /**
   * Whether no more must come, until `room` is called.
   */
  get isFull(): boolean {
    return this.overflow === "pause" && this.backlog >= this.capacity
  }

  /**
   * Ends all streams, present and future, once they have given what waits.
   */
  close(cause: Cause.Cause<E | Cause.Done>): void {
    this.end ??= cause
    for (const { queue } of this.active) Queue.failCauseUnsafe(queue, cause)
  }

  /**
   * A subscription for each run of the stream.
   */
  get stream(): Stream.Stream<A, E | SubscriberOverflow> {
    return Stream.unwrap(Effect.map(this.subscription, (pull) => Stream.fromPull(Effect.succeed(pull))))
  }

  private get subscriber(): Effect.Effect<Subscriber<A, E>> {
    return Effect.map(
      Queue.unbounded<Numbered<A>, E | SubscriberOverflow | Cause.Done>(),
      (queue) => ({ queue, handled: this.number, taken: this.number, overflown: false })
    )
  }

  private get subscription() {
    const enter = Effect.flatMap(Effect.sync(() => this.waiting), (waiting) => {
      this.waiting = this.left = undefined
      return waiting === undefined ? this.subscriber : Effect.succeed(waiting)
    })
    return Effect.map(
      Effect.acquireRelease(
        Effect.tap(enter, (subscriber) =>
          Effect.sync(() => {
            if (!subscriber.overflown) this.active.add(subscriber)
            if (this.end !== undefined) Queue.failCauseUnsafe(subscriber.queue, this.end)
          })),
        (subscriber) =>
          Effect.suspend(() => {
            const keeps = this.active.has(subscriber) && this.waiting === undefined && this.end === undefined &&
              Queue.sizeUnsafe(subscriber.queue) > 0
            if (keeps) this.waiting = this.left = subscriber
            else this.active.delete(subscriber)
            this.makeRoom()
            return keeps ? Effect.void : Queue.shutdown(subscriber.queue)
          })
      ),
      (subscriber) => this.pull(subscriber)
    )
  }

  private pull(subscriber: Subscriber<A, E>) {
    return Effect.suspend(() => {
      subscriber.handled = subscriber.taken
      this.markIdle(subscriber)
      this.report()
      // What is only looked at still waits, so it cannot count as handled before it is taken.
      return Effect.map(Queue.peek(subscriber.queue), (first): Arr.NonEmptyReadonlyArray<A> => {
        const values: Arr.NonEmptyArray<A> = [first.value]
        Queue.takeUnsafe(subscriber.queue)
        let last = first
        while (!last.urgent && values.length < atOnce) {
          const next = Queue.takeUnsafe(subscriber.queue)
          if (next === undefined || Exit.isFailure(next)) break
          last = next.value
          values.push(last.value)
        }
        subscriber.taken = last.number
        this.makeRoom()
        return values
      })
    })
  }

  private put(entry: Entry<A>): void {
    this.number += 1
    this.pending.push({ number: this.number, position: entry.position })
    for (const subscriber of this.active) {
      if (this.overflow === "pause" || Queue.sizeUnsafe(subscriber.queue) < this.capacity) {
        Queue.offerUnsafe(subscriber.queue, { ...entry, number: this.number })
        continue
      }
      const overflow = new SubscriberOverflow({ capacity: this.capacity })
      Queue.failCauseUnsafe(subscriber.queue, Cause.fail(overflow))
      subscriber.overflown = true
      this.active.delete(subscriber)
    }
  }

  private makeRoom(): void {
    if (this.overflow === "pause" && this.backlog * 2 <= this.capacity) this.listener.room()
  }

  /** A subscriber that has handled all it took, and has nothing waiting, has handled everything. */
  private markIdle(subscriber: Subscriber<A, E>): void {
    if (subscriber.handled === subscriber.taken && Queue.sizeUnsafe(subscriber.queue) === 0) {
      subscriber.handled = this.number
      subscriber.taken = this.number
    }
  }

  private report(): void {
    let handled = this.number
    for (const subscriber of this.active) handled = Math.min(handled, subscriber.handled)
    const open = this.pending.findIndex(({ number }) => number > handled)
    const done = open < 0 ? this.pending.length : open
    const last = this.pending[done - 1]
    if (last === undefined) return
    this.pending = this.pending.slice(done)
    this.listener.handled(last.position)
  }
}

interface Listener {
  /** All have handled everything up to this position. */
  readonly handled: (position: Position) => void
  /** A subscriber has gone on, and there is room for more. */
  readonly room: () => void
}

/**
 * A subscriber did not keep up: `capacity` entries waited for it when the next
 * one came. It has been given those, and misses what follows until it
 * subscribes again.
 *
 * @category errors
 * @since 0.1.0
 */
export class SubscriberOverflow extends Schema.TaggedError<SubscriberOverflow>()("SubscriberOverflow", {
  capacity: Schema.Natural
}) {
  override get message() {
    return `The subscriber did not keep up: ${this.capacity} entries wait for it`
  }
}
