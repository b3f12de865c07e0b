/**
 * The turns of all users for whom somebody emits, delivers or waits.
 *
 * It is made before everything that delivers. Whoever must be alone with a user
 * asks here. A turn is remembered for as long as it says that it is needed.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { Turn } from "./Turn.ts"

/**
 * The turns of users, each made when it is first asked for.
 *
 * @category models
 * @since 0.1.0
 */
export class Turns<T extends Turn> {
  private readonly turns = new Map<UserId, T>()
  private readonly make: (user: UserId) => T
  private listener: ((turn: T) => void) | undefined = undefined

  constructor(make: (user: UserId) => T) {
    this.make = make
  }

  get size(): number {
    return this.turns.size
  }

  /** The user's turn, made if needed; who lets go of it calls `retire`. */
  of(user: UserId): T {
    let turn = this.turns.get(user)
    if (turn === undefined) {
      turn = this.make(user)
      this.turns.set(user, turn)
    }
    return turn
  }

  /** The user's turn, if it is remembered. */
  find(user: UserId): T | undefined {
    return this.turns.get(user)
  }

  values(): Iterable<T> {
    return this.turns.values()
  }

  /** Calls the listener after each turn that was given back, once all who waited for it were woken: one of them may have it. */
  onLeave(listener: (turn: T) => void): void {
    this.listener = listener
  }

  /** Gives a turn back, and forgets it if nobody needs it any more. */
  leave(turn: T): void {
    turn.leave(this.listener)
    this.retire(turn)
  }

  /** Forgets a turn that nobody needs. */
  retire(turn: Turn): void {
    if (!turn.isNeeded) this.turns.delete(turn.user)
  }

  /**
   * Runs an effect as the user's only delivery: it waits for the one in flight, and
   * new events of the user wait for it. Waiting for the turn can be interrupted, or
   * closing would wait for whoever has it.
   */
  readonly exclusive = <A, E>(user: UserId, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.uninterruptibleMask((restore) => {
      const enter: Effect.Effect<T> = Effect.suspend(() => {
        const turn = this.of(user)
        if (turn.inFlight) return Effect.andThen(restore(turn.left), enter)
        turn.enter()
        return Effect.succeed(turn)
      })
      return Effect.flatMap(enter, (turn) => Effect.onExit(restore(effect), () => Effect.sync(() => this.leave(turn))))
    })
}
