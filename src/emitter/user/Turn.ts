/**
 * Whose turn it is to deliver for one user: the user's list, or somebody who asked
 * for the turn, such as whoever drains a spool. One has it at a time.
 *
 * Plain state; every step is atomic.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { UserId } from "../../protocol/values/Identity.ts"

/**
 * `inFlight`: somebody has the turn.
 *
 * @category models
 * @since 0.1.0
 */
export class Turn {
  readonly user: UserId
  private taken = false
  // What is woken when the turn is given back may take it and give it back within the same call.
  private waking: "no" | "once" | "again" = "no"
  // Made with the first who waits: most never do.
  private waiting: Array<() => void> | undefined = undefined

  constructor(user: UserId) {
    this.user = user
  }

  get inFlight(): boolean {
    return this.taken
  }

  /** Whether it must be remembered. */
  get isNeeded(): boolean {
    return this.taken || this.waiting !== undefined && this.waiting.length > 0
  }

  /** Takes the turn, which nobody has. */
  enter(): void {
    this.taken = true
  }

  /**
   * Gives the turn back. All who wait are woken, in order: the first that still wants
   * the turn has it, and the others wait on. Then `goOn` is called.
   *
   * Who is woken may take the turn and give it back within this call. One loop wakes
   * them all, so that a program that emits in a loop needs no deeper stack.
   */
  leave(goOn?: (turn: this) => void): void {
    this.taken = false
    if (this.waking !== "no") {
      this.waking = "again"
      return
    }
    try {
      do {
        this.waking = "once"
        if (this.waiting !== undefined) { for (const wake of this.waiting.splice(0)) wake() }
        if (goOn !== undefined) goOn(this)
      } while (this.wasLeft())
    } finally {
      this.waking = "no"
    }
  }

  private wasLeft(): boolean {
    return this.waking === "again"
  }

  /** Waits until the turn is given back; somebody else may have it then. */
  get left(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const waiting = this.waiting ??= []
      const wake = () => resume(Effect.void)
      waiting.push(wake)
      return Effect.sync(() => {
        const index = waiting.indexOf(wake)
        if (index >= 0) waiting.splice(index, 1)
      })
    })
  }
}
