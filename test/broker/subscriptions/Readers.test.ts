import { assert, describe, it } from "@effect/vitest"
import type { Broker } from "effect-emitter"
import * as Readers from "../../../src/broker/subscriptions/Readers.ts"

/** Readers that note who was woken, and with what. */
const reading = () => {
  const heard: Array<unknown> = []
  const reader = (name: string, more = () => {}): Broker.Reader => ({
    wake: (signal) => {
      heard.push([name, signal])
      more()
    }
  })
  return { heard, reader }
}

describe("Readers", () => {
  it("are woken in the order in which they came, one that came twice twice", () => {
    const { heard, reader } = reading()
    const [a, b] = [reader("a"), reader("b")]
    let readers = Readers.nobody
    assert.strictEqual(Readers.count(readers), 0)
    for (const one of [a, b, a]) readers = Readers.add(readers, one)
    assert.strictEqual(Readers.count(readers), 3)
    Readers.wake(readers, "critical")
    assert.deepStrictEqual(heard, [["a", "critical"], ["b", "critical"], ["a", "critical"]])
  })

  it("go one at a time, the first of those that are alike; one that is not there changes nothing", () => {
    const { heard, reader } = reading()
    const [a, b] = [reader("a"), reader("b")]
    let readers = [a, b, a].reduce<Readers.Readers>(Readers.add, Readers.nobody)
    readers = Readers.remove(readers, a)
    Readers.wake(readers)
    assert.deepStrictEqual(heard.splice(0), [["b", undefined], ["a", undefined]])
    readers = Readers.remove(readers, reader("a"))
    readers = Readers.remove(readers, b)
    assert.strictEqual(Readers.count(readers), 1)
    Readers.wake(readers, "up")
    assert.deepStrictEqual(heard, [["a", "up"]])
    assert.strictEqual(Readers.remove(readers, a), Readers.nobody)
    assert.strictEqual(Readers.remove(Readers.nobody, a), Readers.nobody)
  })

  it("cost a user who has one no list", () => {
    const { reader } = reading()
    const [a, b] = [reader("a"), reader("b")]
    assert.strictEqual(Readers.add(Readers.nobody, a), a)
    assert.strictEqual(Readers.remove(Readers.add(a, b), a), b)
  })

  it("are all woken once, whoever leaves or comes meanwhile", () => {
    const { heard, reader } = reading()
    let readers = Readers.nobody
    const a = reader("a", () => {
      readers = Readers.add(Readers.remove(readers, a), reader("late"))
    })
    for (const one of [a, reader("b")]) readers = Readers.add(readers, one)
    Readers.wake(readers)
    assert.deepStrictEqual(heard.splice(0), [["a", undefined], ["b", undefined]])
    Readers.wake(readers)
    assert.deepStrictEqual(heard, [["b", undefined], ["late", undefined]])
  })
})
