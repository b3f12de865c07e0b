/**
 * The users that somebody of an engine emits for, delivers for or waits for.
 *
 * It is made before all that delivers, so that whoever must be alone with a user
 * asks here, and nobody needs what is built later. A user is remembered for as long
 * as its turn says that it is needed.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { UserId } from "../../protocol/Identity.ts"
import type { Turn } from "./Turn.ts"

/**
 * @category models
 * @since 0.1.0
 */
export class Turns<out T extends Turn> {
  private readonly turns = new Map<UserId, T>()
  private readonly make: (user: UserId) => T

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
      const enter: Effect.Effect<Turn> = Effect.suspend(() => {
        const turn = this.of(user)
        if (turn.inFlight) return Effect.andThen(restore(turn.left), enter)
        turn.enter()
        return Effect.succeed(turn)
      })
      return Effect.flatMap(enter, (turn) =>
        Effect.onExit(restore(effect), () =>
          Effect.sync(() => {
            turn.leave()
            this.retire(turn)
          })))
    })
}
