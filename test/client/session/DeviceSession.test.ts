import { assert, describe, it } from "@effect/vitest"
import { statusOf, step, wakeAt } from "../../../src/client/session/DeviceSession.ts"
import type { Action, Input } from "../../../src/client/session/SessionIO.ts"
import { type Config, defaults, init, type State } from "../../../src/client/session/SessionState.ts"
import { events, welcome, wireEvent } from "../FakeSocket.ts"
import { moment } from "../moment.ts"

/** A session in the hands of a test: it tells the session something, and sees what the session asks for. */
class Hands {
  state: State
  now = 100_000
  /** How far the wall clock is ahead of the time that passes. */
  ahead = 0

  constructor(config: Partial<Config> = {}) {
    this.state = init({ ...defaults, ...config }, 7, moment(this.now))
  }

  tell(input: Input): ReadonlyArray<Action> {
    const { actions, state } = step(this.state, input, moment(this.now, this.ahead))
    this.state = state
    return actions
  }

  push(...frames: ReadonlyArray<object | string>): ReadonlyArray<Action> {
    return frames.flatMap((frame) =>
      this.tell({
        _tag: "message",
        connection: this.state.connection,
        data: typeof frame === "string" ? frame : JSON.stringify(frame)
      })
    )
  }

  /** Connects and is welcomed. */
  greet(...frames: ReadonlyArray<object>): ReadonlyArray<Action> {
    if (this.state.phase._tag === "Idle") this.tell({ _tag: "start" })
    this.tell({ _tag: "opened", connection: this.state.connection })
    return this.push(...frames)
  }

  pass(ms: number): ReadonlyArray<Action> {
    this.now += ms
    return this.tell({ _tag: "tick" })
  }

  close(code: number, reason = ""): ReadonlyArray<Action> {
    return this.tell({ _tag: "closed", connection: this.state.connection, code, reason })
  }

  get status() {
    return statusOf(this.state)
  }

  /** Why it waits. */
  get cause() {
    return this.status.state === "waiting" ? this.status.cause : undefined
  }

  /** How long it will wait. */
  get delay() {
    return (wakeAt(this.state) ?? Infinity) - this.now
  }
}

const tags = (actions: ReadonlyArray<Action>) => actions.map((action) => action._tag)

const itemsOf = (actions: ReadonlyArray<Action>) =>
  actions.flatMap((action) => action._tag === "deliver" ? action.items : [])

const sentBy = (actions: ReadonlyArray<Action>) =>
  actions.flatMap((action) => action._tag === "send" ? [action.frame] : [])

describe("DeviceSession", () => {
  it("does not change the state it is given", () => {
    const hands = new Hands()
    hands.greet(welcome())
    const frozen = JSON.stringify(hands.state)
    const before = hands.state
    step(before, { _tag: "message", connection: 1, data: JSON.stringify(events([1, 2])) }, moment(hands.now))
    assert.strictEqual(JSON.stringify(before), frozen)
  })

  it("hangs up on missing offsets, names them, and resumes before it", () => {
    const hands = new Hands()
    hands.greet(welcome({ offset: 3 }))
    assert.deepStrictEqual(itemsOf(hands.push(events([5]))), [])
    assert.deepStrictEqual(hands.cause, { _tag: "missing", expected: "E1:4", received: "E1:5" })
    hands.pass(hands.delay)
    const sent = sentBy(hands.tell({ _tag: "opened", connection: 2 }))
    assert.deepStrictEqual(sent, [{ type: "hello", accepts: ["command"], resume: { epoch: "E1", offset: 3 } }])
  })

  it("delivers nothing of a frame in which an offset is missing", () => {
    const hands = new Hands()
    hands.greet(welcome())
    assert.deepStrictEqual(itemsOf(hands.push(events([1, 3]))), [])
    assert.deepStrictEqual(hands.cause, { _tag: "missing", expected: "E1:2", received: "E1:3" })
  })

  it("takes upTo for an explanation only if it asked for a filter", () => {
    const filtered = new Hands({ threads: ["a"] })
    filtered.greet(welcome())
    assert.lengthOf(itemsOf(filtered.push(events([2, 5], { upTo: 9 }))), 2)
    assert.deepStrictEqual(filtered.state.position, { epoch: "E1", offset: 9 })
    const swapped = new Hands({ threads: ["a"] })
    swapped.greet(welcome())
    assert.deepStrictEqual(itemsOf(swapped.push(events([5, 3], { upTo: 6 }))), [])
    assert.deepStrictEqual(swapped.cause, { _tag: "missing", expected: "E1:6", received: "E1:3" })
    filtered.push(events([12], { upTo: 10 }))
    assert.deepStrictEqual(filtered.cause, { _tag: "missing", expected: "E1:10", received: "E1:12" })

    const plain = new Hands()
    plain.greet(welcome())
    plain.push(events([], { upTo: 2 }))
    assert.deepStrictEqual(plain.cause, { _tag: "missing", expected: "E1:1", received: "E1:3" })
  })

  it("hangs up on what is no frame, on one out of place, and on events of an epoch it does not know", () => {
    const cases: ReadonlyArray<readonly [object | string, string]> = [
      ["{", "the message is not JSON"],
      [{ type: "later" }, "the message is of no known type"],
      [welcome(), "a second welcome came"],
      [events([1], { epoch: "E2" }), "E2:1"]
    ]
    for (const [frame, detail] of cases) {
      const hands = new Hands()
      hands.greet(welcome())
      assert.deepStrictEqual(tags(hands.push(frame)), ["disconnect", "status"])
      const { cause } = hands
      assert.strictEqual(
        cause?._tag === "badFrame" ? cause.detail : cause?._tag === "missing" ? cause.received : "",
        detail
      )
    }
    const early = new Hands()
    early.greet(events([1]))
    assert.deepStrictEqual(early.cause, { _tag: "badFrame", detail: "events came before the welcome" })
  })

  it("delivers each event once, though the server repeats itself", () => {
    const hands = new Hands()
    const items = itemsOf(hands.greet(welcome(), events([1, 2]), events([1, 2, 3]), events([2]), events([4])))
    assert.deepStrictEqual(items.map((item) => item._tag === "Event" ? item.event.offset : 0), [1, 2, 3, 4])
  })

  it("waits as long as a goodbye asks, and with jitter on top", () => {
    const hands = new Hands()
    hands.greet(welcome(), { type: "goodbye", reason: "drain", reconnectAfterMs: 7_000 })
    hands.close(4500)
    assert.isAtLeast(hands.delay, 7_000)
    assert.isBelow(hands.delay, 7_200)
    assert.deepStrictEqual(tags(hands.tell({ _tag: "wake" })), ["status"])
    assert.strictEqual(hands.delay, 7_000)

    // The next loss is not the server's wish any more.
    hands.pass(7_000)
    hands.close(1006)
    assert.isAtMost(hands.delay, 400)
  })

  it("goes on for ever, also with no wait at all", () => {
    for (const baseMs of [0, 200]) {
      const hands = new Hands({ backoff: { ...defaults.backoff, baseMs } })
      hands.tell({ _tag: "start" })
      for (let attempt = 1; attempt <= 2_000; attempt++) {
        hands.close(1006)
        assert.isAtMost(hands.delay, defaults.backoff.capMs)
        if (hands.status.state === "waiting") hands.pass(hands.delay)
      }
      assert.strictEqual(hands.state.attempt, 2_000)
    }
  })

  it("fault 23a: waits half a second at most for five seconds after a connection that was welcomed, then ever longer", () => {
    const hands = new Hands()
    hands.tell({ _tag: "start" })
    for (let attempt = 1; attempt <= 12; attempt++) {
      hands.close(1006)
      assert.strictEqual(hands.state.attempt, attempt)
      hands.pass(hands.delay)
    }
    hands.greet(welcome(), { type: "ping" })
    const lostAt = hands.now
    const later: Array<number> = []
    for (let attempt = 1; hands.now < lostAt + 120_000; attempt++) {
      hands.close(1006)
      assert.strictEqual(hands.state.attempt, attempt)
      if (hands.now < lostAt + 5_000) assert.isAtMost(hands.delay, 500)
      else later.push(hands.delay)
      hands.pass(Math.max(1, hands.delay))
    }
    assert.isBelow(later[0] ?? Infinity, 1_000)
    assert.isAbove(Math.max(...later), 10_000)
    assert.isAtMost(later.length, 30)
  })

  it("fault 23a: backs off from a server that closes for cause whoever it has welcomed", () => {
    const hands = new Hands()
    const delays: Array<number> = []
    for (let attempt = 1; attempt <= 40; attempt++) {
      hands.greet(welcome(), { type: "ping" })
      hands.pass(9_999)
      hands.close(4502)
      delays.push(hands.delay)
      hands.pass(hands.delay)
    }
    assert.isAtMost(Math.max(...delays.slice(0, 2)), 500)
    assert.isAbove(Math.max(...delays.slice(-20)), 10_000)
    hands.greet(welcome())
    hands.pass(10_000)
    hands.close(4502)
    assert.isAtMost(hands.delay, 200)
    assert.strictEqual(hands.state.attempt, 1)
  })

  it("fault 3: comes back to a server with too many connections, after the time that it says", () => {
    const hands = new Hands()
    hands.greet({ type: "goodbye", reason: "tooManyConnections", reconnectAfterMs: 30_000 })
    hands.close(4409)
    assert.strictEqual(hands.cause?._tag === "closed" ? hands.cause.name : "", "tooManyConnections")
    assert.isAtLeast(hands.delay, 30_000)
    assert.isAtMost(hands.delay, 30_200)
    hands.tell({ _tag: "wake" })
    assert.strictEqual(hands.delay, 30_000)
    hands.pass(30_000)
    hands.greet(welcome())
    assert.strictEqual(hands.status.state, "live")
  })

  it("fault 23: asks for a new token at once when the first is refused after a while, and the next time waits", () => {
    const hands = new Hands({ hasToken: true })
    const answer = (token: string) => hands.tell({ _tag: "token", request: hands.state.request, answer: { token } })
    hands.tell({ _tag: "start" })
    answer("one")
    // The server is away for long, and has other keys when it is back.
    for (let attempt = 0; attempt < 12; attempt++) {
      hands.close(1006)
      hands.pass(hands.delay)
    }
    hands.greet()
    assert.deepStrictEqual(tags(hands.close(4401)), ["askToken"])
    assert.deepStrictEqual(tags(answer("two")), ["connect"])
    hands.greet(welcome())
    assert.strictEqual(hands.status.state, "live")

    hands.pass(9_000)
    assert.deepStrictEqual(tags(hands.close(4401)), ["status"])
    assert.strictEqual(hands.status.state, "waiting")
    hands.pass(hands.delay)
    answer("three")
    hands.greet(welcome())
    hands.pass(10_000)
    assert.deepStrictEqual(tags(hands.close(4401)), ["askToken", "status"])
  })

  it("fault 20: stops when three tokens in a row are refused, each of them new", () => {
    const hands = new Hands({ hasToken: true })
    hands.tell({ _tag: "start" })
    let connects = 0
    for (let n = 1; hands.status.state !== "stopped"; n++) {
      if (n > 100) assert.fail("it never stops")
      connects += tags(hands.tell({ _tag: "token", request: hands.state.request, answer: { token: `t-${n}` } }))
        .filter((tag) => tag === "connect").length
      hands.greet({ type: "error", code: "unauthenticated", message: "the issuer is not accepted" })
      hands.close(4401)
      if (hands.status.state === "waiting") hands.pass(hands.delay)
    }
    assert.strictEqual(connects, 3)
    assert.deepStrictEqual(hands.status, {
      state: "stopped",
      reason: {
        _tag: "refused",
        code: 4401,
        name: "unauthenticated",
        detail: "3 tokens in a row were not accepted, the last: unauthenticated: the issuer is not accepted"
      }
    })
  })

  it("fault 20: does not ask ever faster for tokens that are taken and refused soon after", () => {
    const hands = new Hands({ hasToken: true })
    hands.tell({ _tag: "start" })
    let asked = 0
    const began = hands.now
    while (hands.now < began + 60_000) {
      if (hands.state.phase._tag === "Asking") {
        asked += 1
        hands.tell({ _tag: "token", request: hands.state.request, answer: { token: `t-${asked}` } })
      }
      hands.greet(welcome())
      hands.close(4401)
      if (hands.status.state === "waiting") hands.pass(Math.max(1, hands.delay))
    }
    assert.isAtMost(asked, 30)
    assert.notStrictEqual(hands.status.state, "stopped")
  })

  it("does not wait out its time when the page comes back", () => {
    const hands = new Hands()
    hands.tell({ _tag: "start" })
    for (let attempt = 0; attempt < 12; attempt++) {
      hands.close(1006)
      if (attempt < 11) hands.pass(hands.delay)
    }
    assert.deepStrictEqual(tags(hands.tell({ _tag: "wake" })), ["connect", "status"])
  })

  it("gives up an attempt that takes too long, to connect or to be welcomed", () => {
    const hands = new Hands({ connectTimeoutMs: 3_000 })
    hands.tell({ _tag: "start" })
    assert.strictEqual(hands.delay, 3_000)
    assert.deepStrictEqual(tags(hands.pass(3_000)), ["check", "disconnect", "status"])
    assert.deepStrictEqual(hands.cause, { _tag: "timeout", afterMs: 3_000 })
    hands.pass(hands.delay)
    hands.tell({ _tag: "opened", connection: 2 })
    hands.pass(3_000)
    assert.deepStrictEqual(hands.cause, { _tag: "timeout", afterMs: 3_000 })
  })

  it("fault 23: reconnects when asked to: at once from a living connection, and from a wait as far as the server allows", () => {
    const hands = new Hands({ start: { epoch: "E1", offset: 2 } })
    const reconnect = () => hands.tell({ _tag: "reconnect" })
    assert.deepStrictEqual(reconnect(), [])
    hands.greet(welcome({ offset: 2 }))
    assert.deepStrictEqual(reconnect(), [
      { _tag: "disconnect", code: 1000, reason: "reconnecting" },
      { _tag: "connect", connection: 2, transport: "websocket" },
      { _tag: "status", status: { state: "resuming" } }
    ])
    // One that is on its way goes on, however often somebody asks.
    assert.deepStrictEqual(reconnect(), [])
    hands.greet(welcome({ offset: 2 }), { type: "goodbye", reason: "stopping", reconnectAfterMs: 3_000 })
    hands.close(4500)
    reconnect()
    assert.strictEqual(hands.delay, 3_000)
    hands.greet(hands.pass(3_000))
    hands.close(1006)
    assert.isAbove(hands.delay, 0)
    assert.deepStrictEqual(tags(reconnect()), ["connect", "status"])
    hands.tell({ _tag: "close" })
    assert.deepStrictEqual(reconnect(), [])
  })

  it("connects anew at once when it wakes from a sleep that no server waits for", () => {
    const hands = new Hands()
    hands.greet(welcome())
    hands.pass(8 * 3_600_000)
    assert.deepStrictEqual(hands.cause, { _tag: "silent", silentMs: 8 * 3_600_000 })
    assert.isAtMost(hands.delay, 200)
  })

  for (const [by, setBy] of [["an hour back", -3_600_000], ["an hour forwards", 3_600_000]] as const) {
    it(`fault 35: waits as long as it would while the wall clock steps ${by}`, () => {
      const hands = new Hands()
      hands.greet(welcome(), events([1]))
      hands.tell({ _tag: "handled", position: { epoch: "E1", offset: 1 } })
      hands.ahead += setBy
      assert.deepStrictEqual(sentBy(hands.pass(999)).filter(({ type }) => type === "ack"), [])
      hands.ahead -= setBy
      assert.deepStrictEqual(sentBy(hands.pass(1)).filter(({ type }) => type === "ack"), [
        { type: "ack", offset: 1, epoch: "E1" }
      ])
      hands.ahead += setBy
      assert.deepStrictEqual(hands.pass(36_499), hands.ahead > 0 ? [{ _tag: "send", frame: { type: "pong" } }] : [])
      assert.deepStrictEqual(tags(hands.pass(1)), ["disconnect", "status"])
      const { delay } = hands
      assert.isAtMost(delay, 200)
      assert.isAtLeast(delay, 0)
      hands.ahead += setBy
      hands.tell({ _tag: "tick" })
      assert.strictEqual(hands.delay, delay)
      hands.pass(delay)
      assert.strictEqual(hands.state.connection, 2)
      // The attempt itself has its time as well.
      hands.ahead -= setBy
      assert.deepStrictEqual(hands.pass(9_999), [])
      assert.deepStrictEqual(tags(hands.pass(1)), ["check", "disconnect", "status"])
      assert.deepStrictEqual(hands.cause, { _tag: "timeout", afterMs: 10_000 })
    })

    it(`fault 35: counts a server's silence from its last frame while the wall clock steps ${by}`, () => {
      const hands = new Hands()
      hands.greet(welcome())
      hands.ahead += setBy
      hands.pass(1_000)
      hands.push({ type: "ping" })
      hands.ahead -= setBy
      assert.notInclude(tags(hands.pass(37_499)), "disconnect")
      assert.include(tags(hands.pass(1)), "disconnect")
    })

    it(`fault 35: takes a token for as old as it is when the wall clock steps ${by}`, () => {
      const hands = new Hands({ hasToken: true })
      hands.tell({ _tag: "start" })
      hands.tell({ _tag: "token", request: 1, answer: { token: "one", expiresAt: hands.now + 60_000 } })
      hands.greet(welcome({ heartbeatMs: 0 }))
      hands.ahead += setBy
      assert.notInclude(tags(hands.pass(44_999)), "askToken")
      hands.close(1006)
      hands.ahead += setBy
      hands.pass(hands.delay)
      assert.strictEqual(hands.state.phase._tag, "Opening")
      hands.close(1006)
      hands.pass(16_000)
      assert.strictEqual(hands.state.phase._tag, "Asking")
    })

    it(`fault 35: tells by the clock that people read when it tries again, once it was set ${by}`, () => {
      const hands = new Hands()
      hands.greet(welcome())
      hands.push({ type: "goodbye", reason: "draining", reconnectAfterMs: 60_000 })
      hands.close(4500)
      const retryAt = () => hands.status.state === "waiting" ? hands.status.retryAt : undefined
      const before = retryAt()
      assert.deepStrictEqual(tags(hands.pass(1_000)), [])
      hands.ahead += setBy
      assert.deepStrictEqual(tags(hands.pass(1_000)), ["status"])
      assert.strictEqual(retryAt(), (before ?? 0) + setBy)
      // Clocks that run a little faster or slower than they should are not set anew.
      hands.ahead += Math.sign(setBy) * 30
      assert.deepStrictEqual(hands.pass(1_000), [])
    })
  }

  it("fault 35: shows life at once when the wall clock has leapt, since the device may have slept, and goes on", () => {
    const hands = new Hands()
    hands.greet(welcome())
    hands.ahead += 1_999
    assert.deepStrictEqual(hands.pass(10), [])
    hands.ahead += 3_600_000
    assert.deepStrictEqual(hands.pass(10), [{ _tag: "send", frame: { type: "pong" } }])
    assert.deepStrictEqual(hands.pass(10), [])
    assert.deepStrictEqual(hands.status, { state: "live", transport: "websocket" })
    assert.strictEqual(hands.delay, 37_470)
  })

  it("is live only when all that the server had at its welcome is here", () => {
    const hands = new Hands({ start: { epoch: "E1", offset: 1 } })
    hands.greet(welcome({ offset: 4 }))
    assert.deepStrictEqual(hands.status, { state: "resuming" })
    hands.push(events([2, 3]))
    assert.deepStrictEqual(hands.status, { state: "resuming" })
    hands.push(events([4]))
    assert.deepStrictEqual(hands.status, { state: "live", transport: "websocket" })
  })

  it("is degraded while its server says so, and goes on as if it were not", () => {
    const hands = new Hands()
    hands.greet(welcome(), events([1]))
    assert.deepStrictEqual(hands.push({ type: "status", state: "degraded" }), [
      { _tag: "status", status: { state: "degraded" } }
    ])
    assert.deepStrictEqual(hands.push({ type: "status", state: "degraded" }), [])
    assert.deepStrictEqual(sentBy(hands.push({ type: "ping" })), [{ type: "pong" }])
    hands.tell({ _tag: "handled", position: { epoch: "E1", offset: 1 } })
    assert.deepStrictEqual(sentBy(hands.pass(1_000)), [{ type: "ack", offset: 1, epoch: "E1" }])
    assert.deepStrictEqual(itemsOf(hands.push(events([2]))).length, 1)
    assert.deepStrictEqual(hands.status, { state: "degraded" })
    assert.deepStrictEqual(hands.push({ type: "status", state: "live" }), [
      { _tag: "status", status: { state: "live", transport: "websocket" } }
    ])
    // Another connection begins without it.
    hands.push({ type: "status", state: "degraded" })
    hands.close(4503)
    hands.pass(hands.delay)
    hands.greet(welcome({ offset: 2 }))
    assert.deepStrictEqual(hands.status, { state: "live", transport: "websocket" })
  })

  it("takes no status before its welcome, and none that it does not know", () => {
    for (const frames of [[{ type: "status", state: "live" }], [welcome(), { type: "status", state: "what" }]]) {
      const hands = new Hands()
      hands.greet(...frames)
      assert.strictEqual(hands.cause?._tag, "badFrame")
    }
  })

  it("acknowledges again after a reconnect, since the last one may be lost", () => {
    const hands = new Hands()
    hands.greet(welcome(), events([1, 2]))
    hands.tell({ _tag: "handled", position: { epoch: "E1", offset: 2 } })
    hands.close(1006)
    hands.pass(hands.delay)
    assert.deepStrictEqual(sentBy(hands.greet(welcome({ offset: 2 }))), [{ type: "ack", offset: 2, epoch: "E1" }])
  })

  it("fault 37: names what it confirms, and once more after a reconnect", () => {
    const hands = new Hands()
    const asking = (...offsets: ReadonlyArray<number>) => ({
      ...events([]),
      events: offsets.map((offset) => wireEvent(offset, { confirm: true }))
    })
    const handle = (offset: number) => sentBy(hands.tell({ _tag: "handled", position: { epoch: "E1", offset } }))
    hands.greet(welcome({ offset: 3 }), asking(4, 5))
    const ack = { type: "ack", epoch: "E1" } as const
    assert.deepStrictEqual(handle(4), [{ ...ack, offset: 4, confirmed: [4] }])
    handle(5)
    hands.push(asking(6))
    assert.deepStrictEqual(sentBy(hands.pass(50)), [{ ...ack, offset: 5, confirmed: [5] }])
    hands.close(1006)
    hands.pass(hands.delay)
    // The third was delivered before, and is handled only now.
    assert.deepStrictEqual(sentBy(hands.greet(welcome({ offset: 6 }))), [{ ...ack, offset: 5, confirmed: [4, 5] }])
    handle(6)
    assert.deepStrictEqual(sentBy(hands.pass(50)), [{ ...ack, offset: 6, confirmed: [6] }])
    // Another epoch has none of them.
    hands.push({ type: "gap", epoch: "E2", from: 1, to: 0, reason: "epoch", snapshots: 0 })
    assert.deepStrictEqual([hands.state.confirms, hands.state.named], [[], []])
  })

  it("fault 37: names no more than an acknowledgement may hold, and the others in the next", () => {
    const hands = new Hands()
    const offsets = Array.from({ length: 100 }, (_, index) => index + 1)
    hands.greet(welcome({ offset: 0 }), {
      ...events([]),
      events: offsets.map((offset) => wireEvent(offset, { confirm: true }))
    })
    const handled = hands.tell({ _tag: "handled", position: { epoch: "E1", offset: 100 } })
    const sent = sentBy([...handled, ...hands.pass(50), ...hands.pass(50)])
    const ack = { type: "ack", epoch: "E1", offset: 100 } as const
    assert.deepStrictEqual(sent, [
      { ...ack, confirmed: offsets.slice(0, 64) },
      { ...ack, confirmed: offsets.slice(64) }
    ])
  })

  it("never acknowledges offsets of another epoch", () => {
    const hands = new Hands({ start: { epoch: "E0", offset: 90 } })
    const gap = { type: "gap", epoch: "E1", from: 1, to: 0, reason: "epoch", snapshots: 0 }
    assert.deepStrictEqual(sentBy(hands.greet(welcome({ offset: 3, recovered: false }))), [])
    assert.deepStrictEqual(sentBy(hands.tell({ _tag: "handled", position: { epoch: "E0", offset: 95 } })), [])
    assert.deepStrictEqual(itemsOf(hands.push(gap)), [
      { _tag: "Gap", epoch: "E1", from: 1, to: 0, reason: "epoch", previous: { epoch: "E0", offset: 90 } }
    ])
    assert.deepStrictEqual(hands.tell({ _tag: "handled", position: { epoch: "E1", offset: 0 } }), [
      { _tag: "save", position: { epoch: "E1", offset: 0 } }
    ])
    assert.deepStrictEqual(hands.tell({ _tag: "handled", position: { epoch: "E0", offset: 99 } }), [])
    assert.deepStrictEqual(sentBy(hands.pass(2_000)), [{ type: "ack", offset: 0, epoch: "E1" }])
  })

  it("keeps its acknowledgements apart, however many events ask for one", () => {
    const hands = new Hands()
    hands.greet(welcome())
    let acks = 0
    for (let offset = 1; offset <= 200; offset++) {
      hands.now += 5
      acks += sentBy(hands.push({ ...events([]), events: [wireEvent(offset, { confirm: true })] })).length
      acks += sentBy(hands.tell({ _tag: "handled", position: { epoch: "E1", offset } })).length
      acks += sentBy(hands.tell({ _tag: "tick" })).length
    }
    assert.isAtMost(acks, 21)
    assert.isAtLeast(acks, 19)
  })

  it("begins again when a log lost its newest events, though its epoch has the same name", () => {
    const hands = new Hands({ start: { epoch: "E1", offset: 9 } })
    hands.greet(welcome({ offset: 4, recovered: false }))
    const gap = { type: "gap", epoch: "E1", from: 1, to: 2, reason: "epoch", snapshots: 0 }
    assert.deepStrictEqual(itemsOf(hands.push(gap, events([3, 4]))).map(({ _tag }) => _tag), ["Gap", "Event", "Event"])
    assert.deepStrictEqual(hands.state.position, { epoch: "E1", offset: 4 })
  })

  it("fault 39b: goes back before a gap whose snapshots did not all come, whatever else came", () => {
    const snapshot = {
      type: "snapshot",
      run: "r",
      offset: 9,
      state: { status: "active", parts: [], usage: { inputTokens: 0, outputTokens: 0 } }
    }
    const gap = { type: "gap", epoch: "E1", from: 3, to: 9, reason: "slow", snapshots: 2 }
    const resumed = (...after: ReadonlyArray<object>) => {
      const hands = new Hands()
      hands.greet(welcome(), { type: "ping" }, events([1, 2]), gap, ...after)
      // Silence says nothing of snapshots.
      hands.pass(30_000)
      hands.close(1006)
      hands.pass(hands.delay)
      return sentBy(hands.tell({ _tag: "opened", connection: 2 })).map((frame) =>
        frame.type === "hello" && frame.resume
      )
    }
    assert.deepStrictEqual(resumed(), [{ epoch: "E1", offset: 2 }])
    const ping = { type: "ping" }
    const live = { type: "status", state: "live" }
    assert.deepStrictEqual(resumed(snapshot, ping, live), [{ epoch: "E1", offset: 2 }])
    assert.deepStrictEqual(resumed(ping, snapshot, events([], { upTo: 9 })), [{ epoch: "E1", offset: 2 }])
    assert.deepStrictEqual(resumed(snapshot, ping, snapshot), [{ epoch: "E1", offset: 9 }])
    assert.deepStrictEqual(resumed(snapshot, snapshot, events([10])), [{ epoch: "E1", offset: 10 }])
    // Another gap says anew how many are to come, and the way back stays the same.
    const next = { ...gap, from: 10, to: 12, snapshots: 1 }
    assert.deepStrictEqual(resumed(snapshot, next), [{ epoch: "E1", offset: 2 }])
    assert.deepStrictEqual(resumed(snapshot, next, snapshot), [{ epoch: "E1", offset: 12 }])
  })

  it("asks for recent runs until they have come, and not again", () => {
    const state = { status: "completed", parts: [], usage: { inputTokens: 0, outputTokens: 0 } }
    const hands = new Hands({ recentRuns: 5 })
    const asked = (actions: ReadonlyArray<Action>) =>
      sentBy(actions).flatMap((frame) => frame.type === "hello" ? [frame.snapshots] : [])
    const open = () => asked(hands.tell({ _tag: "opened", connection: hands.state.connection }))
    const lose = () => {
      hands.close(1006)
      hands.pass(hands.delay)
    }
    hands.tell({ _tag: "start" })
    assert.deepStrictEqual(open(), [5])
    lose()
    assert.deepStrictEqual(open(), [5])
    hands.push(welcome({ offset: 2, snapshots: 2 }), { type: "snapshot", run: "a", offset: 1, state })
    lose()
    assert.deepStrictEqual(open(), [5])
    const snapshot = { type: "snapshot", run: "a", offset: 1, state }
    hands.push(welcome({ offset: 2, recovered: false }), {
      type: "gap",
      epoch: "E1",
      from: 1,
      to: 0,
      reason: "epoch",
      snapshots: 1
    }, snapshot)
    lose()
    assert.deepStrictEqual(open(), [undefined])
  })

  it("takes the snapshots that follow a welcome with a position, and goes back to it until all are there", () => {
    const state = { status: "completed", parts: [], usage: { inputTokens: 0, outputTokens: 0 } }
    const snapshot = (run: string) => ({ type: "snapshot", run, offset: 1, state })
    const resumed = (...after: ReadonlyArray<object>) => {
      const hands = new Hands()
      hands.greet(welcome(), events([1, 2]))
      hands.close(1006)
      hands.pass(hands.delay)
      const items = itemsOf(hands.greet(welcome({ offset: 3, snapshots: 2 }), ...after))
      hands.close(1006)
      hands.pass(hands.delay)
      const [hello] = sentBy(hands.tell({ _tag: "opened", connection: 3 }))
      return [items.map(({ _tag }) => _tag), hello?.type === "hello" ? hello.resume?.offset : undefined]
    }
    assert.deepStrictEqual(resumed(snapshot("a")), [["Snapshot"], 2])
    assert.deepStrictEqual(resumed(snapshot("a"), snapshot("b")), [["Snapshot", "Snapshot"], 2])
    assert.deepStrictEqual(
      resumed(snapshot("a"), snapshot("b"), events([3])),
      [["Snapshot", "Snapshot", "Event"], 3]
    )
  })

  it("fault 39b: is live only once the snapshots that follow a welcome are here, whenever they come", () => {
    const state = { status: "active", parts: [], usage: { inputTokens: 0, outputTokens: 0 } }
    const snapshot = (run: string) => ({ type: "snapshot", run, offset: 1, state })
    const hands = new Hands({ recentRuns: 5 })
    const after = (...frames: ReadonlyArray<object>) => {
      hands.push(...frames)
      return hands.status.state
    }
    hands.greet(welcome({ offset: 2, snapshots: 2 }))
    assert.strictEqual(hands.status.state, "resuming")
    assert.strictEqual(after(snapshot("a"), { type: "ping" }), "resuming")
    assert.strictEqual(after(snapshot("b")), "live")
    // One that was live stays so when a gap brings more of them.
    assert.strictEqual(after({ type: "gap", epoch: "E1", from: 3, to: 4, reason: "slow", snapshots: 1 }), "live")
    hands.close(1006)
    hands.pass(hands.delay)
    hands.greet(welcome({ offset: 4, snapshots: 0 }), events([3]))
    assert.strictEqual(after(events([4])), "live")
  })

  it("fault 39b: hangs up on events that come before the snapshots that were announced", () => {
    const hands = new Hands()
    hands.greet(welcome({ snapshots: 2 }))
    assert.deepStrictEqual(itemsOf(hands.push(events([1]))), [])
    assert.deepStrictEqual(hands.cause, {
      _tag: "badFrame",
      detail: "events came before 2 snapshots that had to come"
    })
  })

  it("fault 39b: gives runs up as lost only when all snapshots are here and all of the log", () => {
    const state = { status: "active", parts: [], usage: { inputTokens: 0, outputTokens: 0 } }
    const started = (offset: number, run: string, epoch: string) => ({
      ...events([], { epoch }),
      events: [wireEvent(offset, { id: `${epoch}-${run}`, type: "agent_started", run, data: { agentName: "a" } })]
    })
    const lost = (actions: ReadonlyArray<Action>) =>
      itemsOf(actions).flatMap((item) => item._tag === "Lost" ? [item.run] : [])
    const hands = new Hands()
    hands.greet(welcome(), started(1, "a", "E1"), started(2, "b", "E1"), started(3, "c", "E1"))
    hands.close(1006)
    hands.pass(hands.delay)
    const gap = { type: "gap", epoch: "E2", from: 1, to: 1, reason: "epoch", snapshots: 1 }
    assert.deepStrictEqual(
      lost(hands.greet(welcome({ epoch: "E2", offset: 2, recovered: false }), gap, { type: "ping" })),
      []
    )
    assert.deepStrictEqual(lost(hands.pass(30_000)), [])
    assert.deepStrictEqual(lost(hands.push({ type: "snapshot", run: "a", offset: 2, state })), [])
    assert.deepStrictEqual(lost(hands.push(started(2, "b", "E2"))), ["c"])
  })

  it("fault 45: acknowledges at once when it is closed what it has handled and not said", () => {
    const hands = new Hands()
    hands.greet(welcome(), events([1, 2]))
    hands.tell({ _tag: "handled", position: { epoch: "E1", offset: 2 } })
    assert.deepStrictEqual(sentBy(hands.tell({ _tag: "close" })), [{ type: "ack", offset: 2, epoch: "E1" }])
  })

  it("fault 45: owes no acknowledgement of an old epoch to a new one", () => {
    const hands = new Hands()
    hands.greet(welcome(), { ...events([]), events: [wireEvent(1), wireEvent(2, { confirm: true })] })
    hands.tell({ _tag: "handled", position: { epoch: "E1", offset: 2 } })
    const acks = sentBy(hands.push(
      { type: "gap", epoch: "E2", from: 1, to: 0, reason: "epoch", snapshots: 0 },
      { ...events([], { epoch: "E2" }), events: [wireEvent(1, { id: "new-1" }), wireEvent(2, { id: "new-2" })] }
    ))
    assert.deepStrictEqual(acks, [])
    hands.tell({ _tag: "handled", position: { epoch: "E2", offset: 2 } })
    // Nobody waits for these, so they take their second.
    assert.deepStrictEqual(sentBy(hands.pass(999)), [])
    assert.deepStrictEqual(sentBy(hands.pass(1)), [{ type: "ack", offset: 2, epoch: "E2" }])
  })

  it("fault 45: lets an acknowledgement go that was still to come when its epoch ended", () => {
    const hands = new Hands()
    hands.greet(welcome(), events([1, 2]))
    hands.tell({ _tag: "handled", position: { epoch: "E1", offset: 2 } })
    hands.push({ type: "gap", epoch: "E2", from: 1, to: 0, reason: "epoch", snapshots: 0 })
    assert.deepStrictEqual(sentBy(hands.pass(2_000)), [])
    hands.tell({ _tag: "unacknowledged", connection: hands.state.connection })
    assert.deepStrictEqual(sentBy(hands.pass(2_000)), [])
  })

  it("fault 45: takes neither the wait nor the words of one connection for those of the next", () => {
    const hands = new Hands()
    hands.greet(
      welcome(),
      { type: "goodbye", reason: "drain", reconnectAfterMs: 7_000 },
      { type: "error", code: "draining", message: "the words of the first" }
    )
    hands.tell({ _tag: "pause" })
    hands.tell({ _tag: "resume" })
    hands.greet(welcome())
    hands.close(1006)
    assert.isAtMost(hands.delay, 200)
    assert.deepInclude(hands.cause, { detail: "the connection was lost" })
  })

  it("fault 45: goes back before a gap whose snapshots did not all come, also after it has rested", () => {
    const hands = new Hands()
    hands.greet(
      welcome(),
      events([1, 2]),
      { type: "gap", epoch: "E1", from: 3, to: 9, reason: "slow", snapshots: 1 }
    )
    hands.tell({ _tag: "pause" })
    assert.deepStrictEqual(hands.state.position, { epoch: "E1", offset: 2 })
  })

  it("fault 45: uses no token that has expired, and none again that it was told to renew", () => {
    const hands = new Hands({ hasToken: true })
    hands.tell({ _tag: "start" })
    const answer = (token: string, expiresAt?: number) =>
      hands.tell({
        _tag: "token",
        request: hands.state.request,
        answer: expiresAt === undefined ? { token } : { token, expiresAt }
      })
    answer("one", hands.now + 100)
    hands.close(1006)
    hands.pass(1_000)
    assert.strictEqual(hands.state.phase._tag, "Asking")
    answer("two")
    hands.close(1006)
    hands.tell({ _tag: "renew" })
    hands.pass(hands.delay)
    assert.strictEqual(hands.state.phase._tag, "Asking")
    // Who never answers is asked again.
    assert.strictEqual(hands.delay, 30_000)
    hands.pass(30_000)
    assert.deepStrictEqual(hands.cause, { _tag: "tokenFailed" })
  })

  it("fault 45: refuses a welcome that claims to go on in an epoch that was not asked for", () => {
    const hands = new Hands({ start: { epoch: "E0", offset: 4 } })
    hands.greet(welcome())
    assert.deepInclude(hands.cause, { _tag: "badFrame" })
  })

  it("ignores what comes from a connection it has given up", () => {
    const hands = new Hands()
    hands.greet(welcome())
    hands.close(1006)
    hands.pass(hands.delay)
    for (
      const late of [
        { _tag: "opened", connection: 1 },
        { _tag: "message", connection: 1, data: JSON.stringify(events([1])) },
        { _tag: "closed", connection: 1, code: 4403, reason: "" }
      ] as const
    ) assert.deepStrictEqual(hands.tell(late), [])
  })

  it("says nothing and wants nothing once it is stopped", () => {
    const hands = new Hands()
    hands.greet(welcome())
    assert.deepStrictEqual(tags(hands.tell({ _tag: "close" })), ["disconnect", "status"])
    assert.isUndefined(wakeAt(hands.state))
    assert.deepStrictEqual(hands.push(events([1])), [])
    assert.deepStrictEqual(hands.tell({ _tag: "close" }), [])
    assert.deepStrictEqual(hands.pass(1_000_000), [])
  })

  it("stops with the server's own words when it is refused", () => {
    const hands = new Hands()
    hands.greet(welcome(), { type: "error", code: "badFrame", message: "hello came twice" })
    hands.close(4400)
    assert.deepStrictEqual(hands.status, {
      state: "stopped",
      reason: { _tag: "refused", code: 4400, name: "badFrame", detail: "badFrame: hello came twice" }
    })
  })
})
