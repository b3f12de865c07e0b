/**
 * Where events are, outside of the emitter: the broker's logs, the spool's store, what the other channel took, and the dead
 * letters. They outlive the emitter's process; a process that died reaches them no more.
 */
import { Effect } from "effect"
import { Broker, type Identity } from "../../src/index.ts"
import type { Envelope } from "../../src/protocol/index.ts"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { SpoolStore } from "../../src/emitter/fallback/SpoolStore.ts"
import { broken, type Logged, type Seen, tagsOf } from "./Facts.ts"

export interface Life {
  readonly number: number
  /** Whether its process lives. */
  alive: boolean
  /** Whether its layer was closed; nothing may reach the broker after that. */
  closed: boolean
}

export const seen = (user: Identity.UserId, envelope: Envelope.Envelope): Seen => ({
  user,
  id: envelope.id,
  type: envelope.type,
  run: envelope.run,
  tags: tagsOf(envelope.type, envelope.data),
  isLost: envelope.data["reason"] === "lost"
})

/** The broker, and a record of all that its logs ever took. */
export class Logs {
  readonly entries = new Map<Identity.UserId, Array<Logged>>()
  readonly broker: Broker.Broker["Service"]
  private readonly inner: Broker.Broker["Service"]
  private readonly next = new Map<Identity.UserId, { readonly epoch: string; readonly offset: number }>()

  constructor(inner: Broker.Broker["Service"]) {
    this.inner = inner
    const { appendUnsafe } = inner
    const follow = this.follow
    this.broker = {
      ...inner,
      append: (user, batch) => Effect.tap(inner.append(user, batch), () => Effect.sync(() => follow(user, batch))),
      endLost: (user, runs) => Effect.tap(inner.endLost(user, runs), () => Effect.sync(() => follow(user, []))),
      ...(appendUnsafe === undefined ? {} : {
        appendUnsafe: (user: Identity.UserId, batch: NonEmptyReadonlyArray<Envelope.Envelope>) => {
          const position = appendUnsafe(user, batch)
          if (position !== undefined) follow(user, batch)
          return position
        }
      })
    }
  }

  of(user: Identity.UserId): ReadonlyArray<Logged> {
    return this.entries.get(user) ?? []
  }

  /** How many events the log keeps now. */
  kept(user: Identity.UserId): number {
    const slice = this.inner.pull(user, { epoch: "", offset: 0 }, { maxEvents: Infinity, maxBytes: Infinity })
    return Effect.runSync(slice).entries.length
  }

  /** Where a process meets the broker: one that died gets no answer any more, and one that closed must not ask. */
  reachedBy(life: Life): Broker.Broker["Service"] {
    const { appendUnsafe, commands, ...broker } = this.broker
    const guard = <A, E>(effect: () => Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.suspend(() => life.alive ? effect() : Effect.never)
    return {
      ...broker,
      append: (user, batch) =>
        guard(() => {
          if (life.closed) broken("P7", `a closed layer appends for ${user}`)
          return broker.append(user, batch)
        }),
      endLost: (user, runs) => guard(() => broker.endLost(user, runs)),
      readers: (user) => guard(() => broker.readers(user)),
      ...(commands === undefined ? {} : {
        commands: {
          send: (user, command, within) => guard(() => commands.send(user, command, within)),
          // Who has died has no runs any more.
          receive: (receiver) =>
            commands.receive((user, command) =>
              Effect.suspend(() => life.alive ? receiver(user, command) : Effect.succeed(undefined))
            )
        }
      }),
      ...(appendUnsafe === undefined ? {} : {
        appendUnsafe: (user: Identity.UserId, batch: NonEmptyReadonlyArray<Envelope.Envelope>) => {
          if (!life.alive) throw new Error("this process is dead")
          if (life.closed) broken("P7", `a closed layer appends for ${user}`)
          return appendUnsafe(user, batch)
        }
      })
    }
  }

  private readonly follow = (user: Identity.UserId, batch: ReadonlyArray<Envelope.Envelope>): void => {
    const entries = this.entries.get(user) ?? []
    this.entries.set(user, entries)
    while (true) {
      const after = this.next.get(user) ?? { epoch: Effect.runSync(this.inner.head(user)).epoch, offset: 0 }
      const slice = Effect.runSync(this.inner.pull(user, after, { maxEvents: 1000, maxBytes: 1_000_000 }))
      if (slice.gap !== undefined) {
        // The batch had more than the log keeps: its first events went through it too.
        const known = new Set(entries.map(({ id }) => id))
        const fresh = batch.filter(({ id }, index) =>
          !known.has(id) && batch.findIndex((event) => event.id === id) === index
        )
        for (let offset = slice.gap.from; offset <= slice.gap.to; offset++) {
          const envelope = fresh[offset - slice.gap.from] ?? broken("P2", `offset ${offset} of ${user} is nobody's`)
          entries.push({ offset, ...seen(user, envelope) })
        }
      }
      for (const { body, offset } of slice.entries) {
        const { data, id, run, type } = JSON.parse(`{${body}`)
        entries.push({ user, offset, id, type, run, tags: tagsOf(type, data), isLost: data.reason === "lost" })
      }
      this.next.set(user, slice.next)
      if (slice.next.offset === slice.head) return
    }
  }
}

/** The spool's store, and what it holds. */
export class Spooled {
  readonly held = new Map<Identity.UserId, Array<Seen>>()
  private readonly inner: SpoolStore

  constructor(inner: SpoolStore) {
    this.inner = inner
  }

  reachedBy(life: Life): SpoolStore {
    const { held, inner } = this
    const guard = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.suspend(() => life.alive ? effect : Effect.never)
    return {
      put: (user, batch) =>
        guard(Effect.tap(inner.put(user, batch), () =>
          Effect.sync(() => {
            const events = held.get(user) ?? []
            held.set(user, events)
            events.push(...batch.map((envelope) => seen(user, envelope)))
          }))),
      peek: (user, limits) => guard(inner.peek(user, limits)),
      remove: (user, chunk) =>
        guard(Effect.tap(inner.remove(user, chunk), () =>
          Effect.sync(() => {
            held.get(user)?.splice(0, chunk.envelopes.length)
          }))),
      shrink: (user, chunk, rest) =>
        guard(Effect.tap(inner.shrink(user, chunk, rest), () =>
          Effect.sync(() => {
            held.get(user)?.splice(0, chunk.envelopes.length - rest.length)
          }))),
      users: (limit) => life.alive ? inner.users(limit) : [],
      holds: (user) => life.alive && inner.holds(user),
      depth: inner.depth
    }
  }
}
