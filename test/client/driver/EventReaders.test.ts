import { assert, describe, it } from "@effect/vitest"
import { EventReaders } from "../../../src/client/driver/EventReaders.ts"

/** Readers of numbers, whose positions are the numbers; and what their owner was told. */
const readersOf = (capacity: number) => {
  const told: Array<number | "room"> = []
  const readers = new EventReaders<number>(capacity, {
    handled: ({ offset }) => told.push(offset),
    room: () => told.push("room")
  })
  const put = (...events: ReadonlyArray<number>) => {
    for (const event of events) readers.put({ epoch: "E1", offset: event }, event)
  }
  return { readers, put, told }
}

/** Begins a loop: a generator knows where it begins once it was asked. */
const begin = (readers: EventReaders<number>) => {
  const loop = readers[Symbol.asyncIterator]()
  return { ...loop, first: loop.next() }
}

describe("EventReaders", () => {
  it("counts as handled what the slowest loop has handled, whichever that is", async () => {
    for (const slowest of [0, 1]) {
      const { put, readers, told } = readersOf(8)
      const [first, second] = [begin(readers), begin(readers)]
      const [slow, quick] = slowest === 0 ? [first, second] : [second, first]
      put(1, 2, 3)
      await Promise.all([slow.first, quick.first])
      await quick.next()
      await quick.next()
      assert.notInclude(told, 1)
      await slow.next()
      assert.deepStrictEqual(told.filter((each) => each !== "room"), [1])
    }
  })

  it("has room again once half of the list is handled, and not before", async () => {
    const { put, readers, told } = readersOf(4)
    const loop = begin(readers)
    put(1, 2, 3, 4)
    assert.isTrue(readers.isFull)
    await loop.first
    await loop.next()
    assert.deepStrictEqual(told, [1])
    await loop.next()
    assert.deepStrictEqual(told, [1, 2, "room"])
  })

  it("has room again when the loop that it waited for has left", async () => {
    const { put, readers, told } = readersOf(2)
    const loop = begin(readers)
    put(1, 2)
    await loop.first
    assert.deepStrictEqual([readers.isFull, told], [true, []])
    await loop.return?.()
    assert.deepStrictEqual([readers.isFull, told], [false, [1, "room"]])
  })

  it("gives nothing more once it is over and discarded, and counts nothing of that as handled", async () => {
    const { put, readers, told } = readersOf(4)
    const [busy, idle] = [begin(readers), begin(readers)]
    put(1, 2)
    await Promise.all([busy.first, idle.first])
    const asked = [idle.next(), idle.next()]
    assert.deepStrictEqual(await asked[0], { done: false, value: 2 })
    readers.end(true)
    const over = { done: true, value: undefined } as const
    assert.deepStrictEqual([await asked[1], await busy.next(), await begin(readers).first], [over, over, over])
    assert.deepStrictEqual(told, [])
  })
})
