/**
 * Delivers dead letters again.
 *
 * @since 0.1.0
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Envelope } from "../../protocol/wire/Envelope.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import type { DeadLetter, DeadLetters, Replayed } from "../fallback/DeadLetters.ts"
import type { DeadLetterStore } from "../fallback/DeadLetterStore.ts"
import { type Divided, type Outcome, outcomesOf } from "./Outcome.ts"

/**
 * The `DeadLetters` service over a store and a delivery.
 *
 * @category constructors
 * @since 0.1.0
 */
export const replayer = (options: {
  readonly store: DeadLetterStore
  readonly deliver: (user: UserId, batch: NonEmptyReadonlyArray<Envelope>) => Effect.Effect<Outcome | Divided>
  readonly exclusive: <A, E>(user: UserId, effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
}): DeadLetters["Service"] => {
  const { exclusive, store } = options

  // On a fiber that nobody interrupts, since a delivery that is interrupted ends among the dead letters again.
  const deliver: typeof options.deliver = (user, batch) =>
    Effect.flatMap(Effect.forkDetach(options.deliver(user, batch), { startImmediately: true }), Fiber.join)

  // From taking a letter out to the end of its delivery nothing may interrupt: it would be in no place at all.
  const redeliver = (
    user: UserId,
    letters: ReadonlyArray<DeadLetter>,
    add: (outcome: keyof Replayed, by: number) => void
  ) =>
    Effect.uninterruptible(Effect.suspend(() => {
      // Some may have been cleared or dropped meanwhile.
      const taken = store.take(letters)
      const batch = taken.map(({ event }) => event)
      if (!isReadonlyArrayNonEmpty(batch)) return Effect.void
      return Effect.map(deliver(user, batch), (ofBatch) => {
        const tags = outcomesOf(ofBatch, batch.length).map(({ _tag }) => _tag)
        for (const tag of tags) add(fields[tag], 1)
        store.erase(taken.filter((_, index) => tags[index] !== "DeadLettered"))
      })
    }))

  return {
    list: (selection) => Effect.sync(() => store.list(selection)),
    clear: (selection) =>
      Effect.sync(() => {
        const cleared = store.take(store.list(selection))
        store.erase(cleared)
        return cleared.length
      }),
    size: Effect.sync(() => store.size),
    replay: Effect.fnUntraced(function*(selection): Effect.fn.Return<Replayed> {
      const replayed = { appended: 0, handedOver: 0, deadLettered: 0 }
      // What fails again becomes a new letter, which is none of those listed here.
      for (const [user, letters] of Map.groupBy(store.list(selection).filter(isWhole), (letter) => letter.user)) {
        for (let start = 0; start < letters.length; start += eventsPerBatch) {
          const some = letters.slice(start, start + eventsPerBatch)
          yield* exclusive(user, redeliver(user, some, (outcome, by) => replayed[outcome] += by))
        }
      }
      return replayed
    })
  }
}

const isWhole = ({ trigger }: DeadLetter): boolean => trigger !== "damaged"

const fields = { Appended: "appended", HandedOver: "handedOver", DeadLettered: "deadLettered" } as const

const eventsPerBatch = 256
