/**
 * A device of either client, and what a test asks of it.
 */
import { Effect, Schedule, type Scope, Stream, SubscriptionRef } from "effect"
import { Client, connect, type Status, type Transports } from "effect-emitter/client"
import { patience } from "../support/patience.ts"

export interface Options {
  readonly url: string
  readonly token?: () => string | Promise<string>
  readonly transports?: Transports
  readonly threads?: ReadonlyArray<string>
  readonly start?: { readonly epoch: string; readonly offset: number }
  readonly connectTimeoutMs?: number
  readonly baseMs?: number
  readonly capMs?: number
  readonly forgetful?: boolean
}

/**
 * A device: the offsets it handled, the gaps and snapshots it was told of, how its connection stands, and how it stood.
 */
export interface Device {
  readonly offsets: ReadonlyArray<number>
  readonly told: ReadonlyArray<string>
  readonly status: () => Status
  readonly statuses: ReadonlyArray<Status>
}

export const devices: Record<"connect" | "Client", (options: Options) => Effect.Effect<Device, never, Scope.Scope>> = {
  connect: ({ baseMs = 5, capMs = 50, forgetful, ...options }) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const offsets: Array<number> = []
        const told: Array<string> = []
        const statuses: Array<Status> = []
        const { close, status } = connect({
          ...options,
          backoff: { baseMs, capMs },
          onEvent: ({ offset }) => offsets.push(offset),
          onGap: ({ from, reason, to }) => told.push(`gap ${from}-${to} ${reason}`),
          onSnapshot: ({ offset, run }) => told.push(`snapshot ${run} ${offset}`),
          ...(forgetful === true ? {} : { onStatus: (next) => statuses.push(next) })
        })
        return { offsets, told, status: status.getSnapshot, statuses, close }
      }),
      ({ close }) => Effect.sync(close)
    ),
  Client: ({ baseMs = 5, capMs = 50, connectTimeoutMs, forgetful, token, ...options }) =>
    Effect.gen(function*() {
      const offsets: Array<number> = []
      const told: Array<string> = []
      const statuses: Array<Status> = []
      const client = yield* Client.make({
        ...options,
        connectTimeout: connectTimeoutMs,
        backoff: { baseMs, capMs },
        token: token === undefined ? undefined : Effect.promise(async () => await token())
      })
      yield* Effect.forkScoped(
        Stream.runForEach(client.items, (item) =>
          Effect.sync(() => {
            if (item._tag === "Event") offsets.push(item.event.offset)
            if (item._tag === "Gap") told.push(`gap ${item.from}-${item.to} ${item.reason}`)
            if (item._tag === "Snapshot") told.push(`snapshot ${item.run} ${item.offset}`)
          }))
      )
      if (forgetful !== true) {
        yield* Effect.forkScoped(
          Stream.runForEach(SubscriptionRef.changes(client.status), (next) => Effect.sync(() => statuses.push(next)))
        )
      }
      return { offsets, told, status: () => SubscriptionRef.getUnsafe(client.status), statuses }
    }).pipe(Effect.orDie)
}

/** Waits until it is so, but not for ever. */
export const until = (what: string, check: () => boolean, seconds?: number) =>
  untilEffect(what, Effect.sync(check), seconds)

/** The same, of what an effect tells. */
export const untilEffect = (what: string, check: Effect.Effect<boolean>, seconds = 5) =>
  Effect.flatMap(check, (isSo) => isSo ? Effect.void : Effect.fail(what)).pipe(
    Effect.retry(Schedule.spaced("5 millis")),
    Effect.timeoutOrElse({
      duration: seconds * patience * 1_000,
      orElse: () => Effect.die(new Error(`never: ${what}`))
    })
  )

export const live = (device: Device) => until("live", () => device.status().state === "live")

export const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)
