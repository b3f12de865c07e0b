/** What the readers of one user are told, and how often. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred } from "effect"
import type { Broker } from "effect-emitter"
import { isLater, Subscription } from "../../../src/broker/subscriptions/Subscription.ts"
import { newUser } from "../events.ts"

const begin = () => new Subscription(newUser(), "channel", Deferred.makeUnsafe(), 0)

const listener = () => {
  const told: Array<Broker.Signal | "wake"> = []
  return { told, reader: { wake: (signal?: Broker.Signal) => void told.push(signal ?? "wake") } }
}

/** A reader whose own first look is over. */
const joinedTo = (subscription: Subscription) => {
  const { reader, told } = listener()
  subscription.add(reader)
  subscription.join(reader, subscription.revokedAt)
  told.length = 0
  return { reader, told }
}

describe("A subscription", () => {
  it("fault 45: tells each turn of the broker's state once, to all readers", () => {
    const subscription = begin()
    const [one, two] = [joinedTo(subscription), joinedTo(subscription)]
    for (const isDown of [false, true, true, false, false, true]) subscription.tell(isDown)
    assert.deepStrictEqual([one.told, two.told], [["down", "up", "down"], ["down", "up", "down"]])
    assert.isTrue(subscription.isDown)
  })

  it("fault 45: tells whoever joins that events are late, and the others only when that changed", () => {
    const subscription = begin()
    const one = joinedTo(subscription)
    subscription.lagging(5_000, undefined)
    subscription.lagging(4_000, undefined)
    const two = joinedTo(subscription)
    subscription.lagging(3_000, two.reader)
    assert.deepStrictEqual([one.told, two.told], [[{ lateMs: 5_000 }], [{ lateMs: 3_000 }]])
    subscription.lagging(0, undefined)
    subscription.lagging(0, two.reader)
    assert.deepStrictEqual(one.told.at(-1), { lateMs: 0 })
    assert.deepStrictEqual([one.told.length, two.told.length], [2, 2])
  })

  it("fault 45: tells a revocation once, and of one that comes while a reader joins that it is new", () => {
    const subscription = begin()
    const one = joinedTo(subscription)
    const two = listener()
    subscription.add(two.reader)
    subscription.revoke(7)
    subscription.revoke(7)
    subscription.revoke(6)
    assert.deepStrictEqual([one.told, two.told], [[{ revokedAt: 7, isNew: true }], []])
    subscription.join(two.reader, 3)
    assert.deepStrictEqual(two.told, [{ revokedAt: 7, isNew: true }])
    const three = listener()
    subscription.add(three.reader)
    subscription.join(three.reader, 7)
    assert.deepStrictEqual(three.told, [{ revokedAt: 7, isNew: false }])
    subscription.revoke(8)
    assert.deepStrictEqual(three.told.at(-1), { revokedAt: 8, isNew: true })
    assert.strictEqual(one.told.length, 2)
  })

  it("fault 45: tells nothing to a reader who left while joining", () => {
    const subscription = begin()
    const one = listener()
    subscription.add(one.reader)
    subscription.delete(one.reader)
    subscription.revoke(7)
    subscription.wake("e:1")
    subscription.tell(true)
    assert.deepStrictEqual(one.told, [])
    assert.isFalse(subscription.isNeeded)
  })

  it("fault 45: is needed by readers and by those who wait for an acknowledgement", () => {
    const subscription = begin()
    const waiter = { position: { epoch: "e", offset: 1 }, resume: () => {} }
    subscription.waiters.add(waiter)
    assert.isTrue(subscription.isNeeded)
    subscription.waiters.delete(waiter)
    assert.isFalse(subscription.isNeeded)
    joinedTo(subscription)
    assert.isTrue(subscription.isNeeded)
  })

  it("fault 45: wakes for what was seen, and remembers it", () => {
    const subscription = begin()
    const one = joinedTo(subscription)
    subscription.wake("e:3")
    assert.deepStrictEqual([one.told, subscription.seen], [["wake"], "e:3"])
  })

  it("fault 45: lets those go on who wait for that event of that epoch, and no others", () => {
    const subscription = begin()
    const resumed: Array<string> = []
    for (const [epoch, offset] of [["e", 1], ["e", 2], ["f", 2], ["e", 3]] as const) {
      subscription.waiters.add({ position: { epoch, offset }, resume: () => void resumed.push(`${epoch}:${offset}`) })
    }
    subscription.release({ epoch: "e", offset: 2 })
    assert.deepStrictEqual(resumed, ["e:2"])
  })

  it("fault 45: counts a wake-up as missed only where the log went on in its epoch", () => {
    assert.isTrue(isLater("a-1:10", "a-1:9"))
    assert.isFalse(isLater("a-1:9", "a-1:10"))
    assert.isFalse(isLater("a-1:9", "a-1:9"))
    assert.isFalse(isLater("b-1:10", "a-1:9"))
    assert.isFalse(isLater("a-1:1", ""))
  })
})
