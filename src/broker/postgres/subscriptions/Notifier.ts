/**
 * Tells other processes what this one did, and this one at once.
 *
 * A NOTIFY goes after the commit that it is of, never in its transaction: there it would
 * make all commits of the database wait for each other. What comes while one is under
 * way goes together in the next.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import type { UserId } from "../../../protocol/values/Identity.ts"
import type { Position } from "../../../protocol/values/Position.ts"
import type { Database } from "../connection/Database.ts"
import { type Line, type Told, toPayloads } from "./Message.ts"
import type { Postbox } from "./Postbox.ts"

/**
 * Each returns at once.
 *
 * - `appended`: the log goes as far as the position; `signal` is for its readers.
 * - `acknowledged`, `revoked`, `late`: what a broker's calls of these names note.
 * - `posted`: a command waits for a process.
 * - `decided`: what became of commands.
 * - `canary`: a line that only comes back.
 *
 * @category models
 * @since 0.2.0
 */
export interface Notifier {
  readonly appended: (user: UserId, position: Position, signal?: "critical") => void
  readonly acknowledged: (user: UserId, position: Position) => void
  readonly revoked: (user: UserId, revokedAt: number) => void
  readonly late: (user: UserId, lateMs: number) => void
  readonly posted: (process: string, user: UserId, number: number) => void
  readonly decided: (told: typeof Told.Type) => void
  readonly canary: (number: number) => void
}

// So many lines wait at most: whoever misses one looks in a while.
const maxWaiting = 65_536

/**
 * Tells until the scope closes. `node` names this process.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*(
  node: string,
  database: Database,
  postbox: Postbox
): Effect.fn.Return<Notifier, never, Scope.Scope> {
  // Of each user only the newest head.
  const heads = new Map<UserId, Line>()
  let others: Array<Line> = []
  const isDue = Latch.makeUnsafe(false)

  const tell = (line: Line): void => {
    postbox.deliver(line)
    if (others.length < maxWaiting) others.push(line)
    isDue.openUnsafe()
  }

  const flush = Effect.suspend(() => {
    isDue.closeUnsafe()
    const payloads = toPayloads(node, [...others, ...heads.values()])
    heads.clear()
    others = []
    return Effect.forEach(payloads, (payload) => database.notify(payload), { discard: true })
  })
  yield* isDue.await.pipe(
    Effect.andThen(flush),
    // Who misses it looks in a while.
    Effect.catch((error) => Effect.logDebug("Other processes were not told", error)),
    Effect.catchCause((cause) => Effect.logError("Telling other processes failed, and goes on", cause)),
    Effect.forever,
    Effect.forkScoped
  )

  return {
    appended: (user, { epoch, offset }, signal) => {
      const line = ["e", user, epoch, String(offset)]
      postbox.deliver(signal === undefined ? line : [...line, signal])
      // What stood here for the others is told with it.
      const told = signal ?? heads.get(user)?.[line.length]
      if (heads.size < maxWaiting) heads.set(user, told === undefined ? line : [...line, told])
      isDue.openUnsafe()
    },
    acknowledged: (user, { epoch, offset }) => tell(["a", user, epoch, String(offset)]),
    revoked: (user, revokedAt) => tell(["r", user, String(revokedAt)]),
    late: (user, lateMs) => tell(["l", user, String(lateMs)]),
    posted: (process, user, number) => tell(["m", process, user, String(number)]),
    decided: (told) => {
      for (const [senders, user, id, digest, outcome] of told) {
        if (senders.length > 0) tell(["o", senders.join(","), user, id, digest, outcome])
      }
    },
    canary: (number) => {
      others.push(["c", String(number)])
      isDue.openUnsafe()
    }
  }
})
