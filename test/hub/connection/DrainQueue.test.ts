import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Scheduler } from "effect"
import { Broker } from "effect-emitter"
import { DrainQueue, perTurn } from "../../../src/hub/connection/DrainQueue.ts"
import { UserId } from "../../../src/protocol/values/Identity.ts"
import { toEnvelope } from "../../support/envelopes.ts"
import { seeded } from "../../support/random.ts"
import { FakeBroker, FakeTransport } from "../fakes.ts"
import { makeHub, now, open } from "../hub.ts"

/** A queue whose turns come when the test says so, and who started in each. */
const start = () => {
  let due: (() => void) | undefined
  const scheduler = new Scheduler.MixedScheduler("async", (task) => {
    due = task
    return () => (due = undefined)
  })
  let time = 0
  const queue = new DrainQueue(scheduler.makeDispatcher(), () => time)
  const turns: Array<Array<string>> = []
  const connections = new Map<string, { readonly start: () => void }>()
  const connection = (name: string) => {
    const known = connections.get(name) ?? { start: () => void turns.at(-1)?.push(name) }
    connections.set(name, known)
    return known
  }
  return {
    turns,
    wake: (name: string, isCritical = false) => queue.add(connection(name), isCritical),
    add: (one: { readonly start: () => void }) => queue.add(one, false),
    turn: () => {
      const task = due
      due = undefined
      turns.push([])
      task?.()
      return turns.at(-1) ?? []
    },
    isDue: () => due !== undefined,
    pass: (ms: number) => void (time += ms),
    time: () => time
  }
}

const names = (from: string, count: number) => Array.from({ length: count }, (_, n) => `${from}${n}`)

describe("the connections that write", () => {
  it("take turns, some in each, in the order in which they were woken", () => {
    const queue = start()
    const woken = names("b", 2 * perTurn + 1)
    for (const name of woken) queue.wake(name)
    const [first, second, third] = [queue.turn(), queue.turn(), queue.turn()]
    assert.deepStrictEqual([first, second, third].map(({ length }) => length), [perTurn, perTurn, 1])
    assert.deepStrictEqual([...first, ...second, ...third], woken)
    assert.isFalse(queue.isDue())
  })

  it("have as long in a turn as all else had since the turn before, while they wait", () => {
    const queue = start()
    const connection = () => ({ start: () => queue.pass(1) })
    const wait = (count: number) => Array.from({ length: count }, connection).forEach(queue.add)
    const turn = () => {
      const before = queue.time()
      queue.turn()
      return queue.time() - before
    }
    queue.pass(60_000)
    wait(20 * perTurn)
    // Nobody waited before.
    assert.strictEqual(turn(), perTurn)
    queue.pass(5 * perTurn)
    assert.strictEqual(turn(), 5 * perTurn)
    assert.strictEqual(turn(), perTurn)
  })

  it("are first those with a critical event, however many others were woken before", () => {
    const queue = start()
    for (const name of names("b", 1000)) queue.wake(name)
    queue.wake("c0", true)
    // It waits among the others, and then there is a critical event for it, too.
    queue.wake("b999", true)
    queue.wake("b999")
    assert.deepStrictEqual(queue.turn(), ["c0", "b999", ...names("b", perTurn - 2)])
  })

  it("are a few others in each turn that critical events would fill", () => {
    const queue = start()
    for (const name of names("c", 1000)) queue.wake(name, true)
    for (const name of names("b", 3)) queue.wake(name)
    assert.includeMembers([...queue.turn()], ["b0", "b1"])
    assert.include(queue.turn(), "b2")
    assert.deepStrictEqual(queue.turn(), names("c", 1000).slice(2 * perTurn - 3, 3 * perTurn - 3))
  })

  it("are each started after it was woken, whatever comes in which order", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = seeded(seed)
      const queue = start()
      // Who was woken and has not started since, with the turn by which it must have.
      const waiting = new Map<string, number>()
      const criticalOnes = new Set<string>()
      for (let turn = 0; turn < 60 || queue.isDue(); turn++) {
        for (let n = turn < 60 ? random.below(24) : 0; n > 0; n--) {
          const name = `u${random.below(60)}`
          const isCritical = random.chance(0.4)
          if (isCritical) criticalOnes.add(name)
          const share = criticalOnes.has(name) ? perTurn * 3 / 4 : perTurn / 4
          const latest = turn + Math.ceil((waiting.size + 1) / share)
          waiting.set(name, Math.min(latest, waiting.get(name) ?? Infinity))
          queue.wake(name, isCritical)
        }
        const started = queue.turn()
        assert.isAtMost(started.length, perTurn)
        assert.isTrue(waiting.size <= perTurn || started.length === perTurn, `seed ${seed}: places were left`)
        const order = started.map((name) => criticalOnes.has(name))
        assert.deepStrictEqual(order, order.toSorted((one, other) => Number(other) - Number(one)))
        for (const name of started) {
          assert.isTrue(waiting.has(name), `seed ${seed}: ${name} started, and was not woken`)
          waiting.delete(name)
          criticalOnes.delete(name)
        }
        for (const [name, latest] of waiting) assert.isAtLeast(latest, turn, `seed ${seed}: ${name} is late`)
      }
      assert.deepStrictEqual([...waiting], [])
    }
  })

  it("have their turn though one before them dies", () => {
    const queue = start()
    queue.add({
      start: () => {
        throw new Error("a bug")
      }
    })
    for (const name of names("b", perTurn)) queue.wake(name)
    assert.throws(() => queue.turn(), /a bug/)
    assert.include(queue.turn(), `b${perTurn - 1}`)
  })
})

describe("a hub", () => {
  const events = (user: string, delivery: "batched" | "critical") =>
    [toEnvelope({
      id: `${user}-${delivery}`,
      source: "s",
      sequence: 1,
      at: 0,
      type: "custom",
      delivery,
      data: {}
    })] as const

  const opened = Effect.fnUntraced(function*(users: ReadonlyArray<string>) {
    const broker = yield* Broker.Broker
    const hub = yield* makeHub(new FakeBroker({ maxEvents: 1, delay: now }), { perNode: 1000 }, broker)
    const written: Array<string> = []
    const transports = new Map<string, FakeTransport>()
    for (const user of users) {
      const transport = new FakeTransport()
      transports.set(user, transport)
      yield* open(hub, transport, { user })
      const write = transport.write.bind(transport)
      transport.write = (messages) => {
        written.push(user)
        return write(messages)
      }
    }
    return { broker, hub, written }
  })

  it.effect("writes a critical event before what others were woken for, and lets the loop turn in between", () =>
    Effect.gen(function*() {
      const many = names("b", 100)
      const { broker, hub, written } = yield* opened([...many, "ada"])
      for (const user of many) broker.appendUnsafe?.(UserId.make(user), events(user, "batched"))
      broker.appendUnsafe?.(UserId.make("ada"), events("ada", "critical"))
      const steps: Array<number> = []
      for (let turn = 0; turn < 100 && written.length <= many.length; turn++) {
        const before = written.length
        yield* Effect.yieldNow
        steps.push(written.length - before)
      }
      assert.deepStrictEqual(written, ["ada", ...many])
      assert.isAtMost(Math.max(...steps), 8)
      assert.isTrue(yield* hub.settled)
    }).pipe(Effect.provide(Broker.layerMemory().pipe(Layer.orDie))))
})
