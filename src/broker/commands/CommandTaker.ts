/**
 * Takes the commands that are for this process, and decides each once.
 *
 * What it decided it remembers for as long as outcomes are remembered: so an answer of
 * Redis that was lost, and a Redis that forgot, make nothing be done twice. The users
 * are independent of each other; of one user commands are taken and decided in order.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Command from "../../protocol/command/Command.ts"
import type { UserId } from "../../protocol/values/Identity.ts"
import * as Monotonic from "../../protocol/values/Monotonic.ts"
import type { Broker } from "../Broker.ts"
import type { BrokerError } from "../BrokerError.ts"
import type { Receivers } from "./Receivers.ts"
import type { Leases } from "../leases/Leases.ts"
import type { CommandReply, Taken } from "./CommandReply.ts"
import type { CommandCaller, Decision } from "./CommandCaller.ts"
import type { Inbox } from "./Inbox.ts"

// What this process decided, as long as it remembers.
interface Remembered {
  readonly digest: string
  readonly decision: Decision
  readonly at: number
}

interface Worker {
  number: number
  isCalled: boolean
}

// So many decisions are remembered at most, of all users: only a Redis that forgot asks for them again.
const maxRemembered = 32_768

// Another version's process may have written it down, and nobody does what nobody can read.
const unreadable = Command.refused("invalid", { message: "the process that has the run cannot read it" })

/**
 * Takes commands until the scope closes.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(function*(parts: {
  readonly caller: CommandCaller
  readonly connection: { readonly watch: NonNullable<Broker["Service"]["watch"]> }
  readonly inbox: Inbox
  readonly leases: Pick<Leases, "isCertain" | "makeCertain">
  readonly receivers: Receivers
}): Effect.fn.Return<void, never, Scope.Scope> {
  const { caller, connection, inbox, leases, receivers } = parts
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const remembered = new Map<string, Remembered>()
  const workers = new Map<UserId, Worker>()
  // Users with whom a call failed.
  const failed = new Map<UserId, number>()

  const now = (): number => Monotonic.millisUnsafe(clock)

  const remember = (key: string, digest: string, decision: Decision): void => {
    remembered.delete(key)
    remembered.set(key, { digest, decision, at: now() })
    for (const [oldest, { at }] of remembered) {
      if (remembered.size <= maxRemembered && now() - at < Command.outcomeMemoryMs) break
      remembered.delete(oldest)
    }
  }

  const decide = (user: UserId, taken: Taken): Effect.Effect<CommandReply, BrokerError> =>
    Effect.suspend(() => {
      const { command, digest, id } = taken
      if (command === undefined) return caller.decide(user, taken, unreadable)
      const key = `${user}\n${id}`
      const known = remembered.get(key)
      if (known?.digest === digest) {
        remember(key, digest, known.decision)
        return caller.decide(user, taken, known.decision)
      }
      return receivers.ask(user, command, (answer) => {
        if (answer._tag === "Nobody") return caller.decide(user, taken, "log")
        const decision = answer._tag === "Decided" ? answer.outcome : "end"
        remember(key, digest, decision)
        return caller.decide(user, taken, decision)
      })
    })

  // One by one, so that whoever waits behind may still be withdrawn, or settled by the ending of its run.
  const seeTo = (user: UserId): Effect.Effect<void, BrokerError> =>
    Effect.gen(function*() {
      const left: Array<string> = []
      while (true) {
        const taken = yield* caller.take(user, left)
        if (taken === undefined) return
        // Its answer may be old: whoever slept may have been taken for dead, and the command been settled with its run.
        if (!leases.isCertain()) {
          yield* leases.makeCertain
          continue
        }
        const reply = yield* decide(user, taken)
        if (reply._tag === "Open") left.push(taken.id)
        if (!taken.hasMore) return
      }
    })

  // Where it fails they are told once more.
  const clear = Effect.suspend(() => {
    const seen = inbox.seenToTell()
    return Effect.ignore(Effect.map(caller.clear(seen), () => inbox.told(seen)))
  })

  const work = (user: UserId, worker: Worker): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { number } = worker
      worker.isCalled = false
      return Effect.matchEffect(seeTo(user), {
        onSuccess: () => {
          inbox.seenTo(user, number)
          return inbox.isFull ? clear : Effect.void
        },
        onFailure: (error) => {
          failed.set(user, number)
          return error.blame === "user"
            ? Effect.logWarning(`The commands of user ${user} cannot be read or decided, and are tried again`, error)
            : Effect.void
        }
      })
    }).pipe(Effect.andThen(Effect.suspend(() => {
      if (worker.isCalled) return work(user, worker)
      workers.delete(user)
      return Effect.void
    })))

  const start = (user: UserId, number: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      failed.delete(user)
      const busy = workers.get(user)
      if (busy !== undefined) {
        busy.number = number
        busy.isCalled = true
        return Effect.void
      }
      const worker: Worker = { number, isCalled: false }
      workers.set(user, worker)
      return work(user, worker).pipe(
        Effect.catchCause((cause) => Effect.logError(`Seeing to the commands of user ${user} failed`, cause)),
        Effect.ensuring(Effect.sync(() => {
          if (workers.get(user) === worker) workers.delete(user)
        })),
        Effect.forkIn(scope),
        Effect.asVoid
      )
    })

  // Those with whom a call failed need not wait for the next beat once the server is back.
  yield* connection.watch((signal) => {
    if (signal === "up") inbox.arrived(Array.from(failed))
  })

  yield* inbox.hasMail.await.pipe(
    Effect.andThen(
      Effect.suspend(() => Effect.forEach(inbox.take(), ([user, number]) => start(user, number), { discard: true }))
    ),
    Effect.catchCause((cause) => Effect.logError("Taking commands failed, and goes on", cause)),
    Effect.forever,
    Effect.forkScoped
  )
})
