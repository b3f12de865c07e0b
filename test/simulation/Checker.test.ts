/** The simulation finds what it is there to find: mistakes are planted between engine and broker, and it must see each. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Semaphore } from "effect"
import { Broker, Command, Identity } from "../../src/index.ts"
import type { Emission } from "./Facts.ts"
import { firstUnaccounted } from "./Losses.ts"
import { scheduleOf } from "./Schedule.ts"
import { run } from "./simulate.ts"
import type { Plant } from "./World.ts"

type Append = Broker.Broker["Service"]["append"]

/** Plants another way to append. */
const appending = (change: (append: Append, broker: Broker.Broker["Service"]) => Append): Plant => (broker) => {
  const { appendUnsafe: _, ...others } = broker
  return { ...others, append: change(broker.append, broker) }
}

/** Every so many calls the first is done instead of the second. */
const everyNth = (n: number, rarely: Append, mostly: Append): Append => {
  let calls = 0
  return (user, batch) => ++calls % n === 0 ? rarely(user, batch) : mostly(user, batch)
}

/** Plants another way to receive commands. */
const receiving =
  (change: (receiver: Broker.CommandReceiver) => Broker.CommandReceiver): Plant => ({ commands, ...others }) => ({
    ...others,
    ...(commands === undefined ? {} : {
      commands: { ...commands, receive: (receiver) => commands.receive(change(receiver)) }
    })
  })

const [ada, bob] = [Identity.UserId.make("user0"), Identity.UserId.make("user1")]

/** Mistakes, the promises that they break, and the first seed whose schedule shows each. */
const plants: ReadonlyArray<{
  readonly what: string
  readonly promise: string
  readonly seed: number
  readonly plant: Plant
}> = [
  {
    what: "a receipt that says Appended of what is not in the log",
    promise: "P3",
    seed: 1,
    plant: appending((append, broker) => everyNth(9, (user) => broker.head(user), append))
  },
  {
    what: "an event that goes to another user",
    promise: "P1",
    seed: 1,
    plant: appending((append) => everyNth(9, (user, batch) => append(user === ada ? bob : ada, batch), append))
  },
  {
    what: "an event that is lost out of its batch, though others were dropped and counted",
    promise: "P3",
    seed: 32,
    plant: appending((append) =>
      everyNth(
        3,
        (user, batch) => {
          const [first, ...rest] = batch
          return append(user, [first, ...rest.filter(({ delivery }) => delivery === "critical")])
        },
        append
      )
    )
  },
  {
    what: "a quiet user who is held back by others",
    promise: "P12",
    seed: 11,
    plant: appending((append) => {
      const all = Semaphore.makeUnsafe(1)
      return (user, batch) => all.withPermit(append(user, batch))
    })
  },
  {
    what: "a user's trouble that is taken for the broker's",
    promise: "P12",
    seed: 1,
    plant: appending((append) => (user, batch) =>
      Effect.mapError(append(user, batch), () =>
        new Broker.BrokerError({
          reason: new Broker.BrokerUnavailable({ operation: "append", afterMs: 0, cause: new Error("it is away") })
        }))
    )
  },
  {
    what: "a command that reaches its run twice",
    promise: "P10",
    seed: 24,
    plant: receiving((receiver) => (user, command) => Effect.andThen(receiver(user, command), receiver(user, command)))
  },
  {
    what: "a command that is accepted, and reaches nobody",
    promise: "P10",
    seed: 2,
    plant: receiving((receiver) => (user, command) =>
      command.name === "steer" ? Effect.succeed(Command.accepted) : receiver(user, command)
    )
  },
  {
    what: "a command that is refused, and reaches its run all the same",
    promise: "P10",
    seed: 24,
    plant: receiving((receiver) => (user, command) =>
      Effect.map(
        receiver(user, command),
        (outcome) => outcome?.outcome === "accepted" ? Command.refused("unavailable") : outcome
      )
    )
  },
  {
    what: "a cancel that is accepted, and stops nothing",
    promise: "P10",
    seed: 38,
    plant: receiving((receiver) => (user, command) =>
      command.name === "cancel" ? Effect.succeed(Command.accepted) : receiver(user, command)
    )
  },
  {
    what: "an event that is appended twice",
    promise: "P4",
    seed: 1,
    plant: appending((append) =>
      everyNth(
        9,
        (user, batch) => {
          const [first, ...rest] = batch
          const twin = { ...first, id: Identity.EventId.make(`${first.id}-twin`), source: `${first.source}twin` }
          return append(user, [first, ...rest, twin])
        },
        append
      )
    )
  }
]

describe("the simulation", () => {
  for (const { plant, promise, seed: known, what } of plants) {
    it.live(`fault 45: finds ${what}`, () =>
      Effect.gen(function*() {
        const found: Array<string> = []
        // Where schedules have changed, another one shows it.
        for (let at = 0; at < 200 && !found.includes(promise); at++) {
          const seed = (known + at) % 200
          const failure = yield* run(scheduleOf(seed), plant)
          if (failure !== undefined) found.push(failure.promise)
        }
        assert.include(found, promise)
      }), 120_000)
  }
})

describe("the account of losses", () => {
  const emission = (tag: number, more: Partial<Emission> = {}): Emission => ({
    tag,
    user: ada,
    life: 1,
    run: "r",
    kind: "batched",
    from: tag * 10,
    by: tag * 10 + 1,
    accepted: true,
    outcome: "Deferred",
    channel: undefined,
    mayBeLate: false,
    due: undefined,
    ...more
  })
  const drop = (at: number, events = 1, life = 1) => ({ life, at, events })

  it("fault 45: excuses a loss by a drop that was counted after it was emitted, in the same life, and by no other", () => {
    const lost = [emission(1)]
    assert.isUndefined(firstUnaccounted(lost, lost, [drop(15)]))
    assert.deepStrictEqual(firstUnaccounted(lost, lost, [drop(5)]), { tags: [1], drops: 0 })
    assert.deepStrictEqual(firstUnaccounted(lost, lost, [drop(15, 1, 2)]), { tags: [1], drops: 0 })
  })

  it("fault 45: excuses no second loss by the drop of the first", () => {
    const lost = [emission(1), emission(2)]
    assert.deepStrictEqual(firstUnaccounted(lost, lost, [drop(15)]), { tags: [2], drops: 0 })
    assert.deepStrictEqual(firstUnaccounted(lost, lost, [drop(25)]), { tags: [2, 1], drops: 1 })
    assert.isUndefined(firstUnaccounted(lost, lost, [drop(25, 2)]))
  })

  it("fault 45: takes texts for one event only where nothing that ends their merging stands between", () => {
    const texts = [emission(1, { kind: "text" }), emission(3, { kind: "text" })]
    assert.isUndefined(firstUnaccounted(texts, texts, [drop(35)]))
    const parted = [texts[0] ?? emission(1), emission(2, { kind: "critical" }), texts[1] ?? emission(3)]
    assert.deepStrictEqual(firstUnaccounted(texts, parted, [drop(35)]), { tags: [3, 1], drops: 1 })
    const kept = [texts[0] ?? emission(1), emission(2, { kind: "text" }), texts[1] ?? emission(3)]
    assert.deepStrictEqual(firstUnaccounted(texts, kept, [drop(35)]), { tags: [3, 1], drops: 1 })
  })
})
