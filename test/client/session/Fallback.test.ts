import { assert, describe, it } from "@effect/vitest"
import { statusOf, step, wakeAt } from "../../../src/client/session/DeviceSession.ts"
import type { Action, Input } from "../../../src/client/session/SessionIO.ts"
import { type Config, defaults, init } from "../../../src/client/session/SessionState.ts"
import { moment } from "../moment.ts"
import { answerOf, streamRefusal } from "../../../src/client/transport/Diagnosis.ts"
import type { TransportName } from "../../../src/client/transport/Transports.ts"
import { events, welcome, wireEvent } from "../FakeSocket.ts"

/** A session whose transports work or fail as a test says. */
const begin = (config: Partial<Config> = {}) => {
  let now = 100_000
  let state = init({ ...defaults, ...config }, 7, moment(now))
  let connects: Array<TransportName> = []
  const tell = (input: Input): ReadonlyArray<Action> => {
    const result = step(state, input, moment(now))
    state = result.state
    for (const action of result.actions) if (action._tag === "connect") connects.push(action.transport)
    return result.actions
  }
  const pass = (ms: number) => {
    now += ms
    return tell({ _tag: "tick" })
  }
  /** By what it has connected since this was last asked. */
  const connected = () => {
    const since = connects
    connects = []
    return since
  }
  const checks = (actions: ReadonlyArray<Action>) => actions.some(({ _tag }) => _tag === "check")
  const closed = (code = 1006, reason = "") => tell({ _tag: "closed", connection: state.connection, code, reason })
  const checked = (answered: boolean, connection = state.connection) =>
    tell({ _tag: "checked", connection, answer: answered ? answerOf(426, "") : undefined })
  return {
    tell,
    pass,
    closed,
    checked,
    checks,
    connected,
    /** By what the next attempt, when its time has come, connects. */
    next: () => {
      if (connects.length === 0) pass(Math.max(0, (wakeAt(state) ?? now) - now))
      return connected()
    },
    start: () => {
      tell({ _tag: "start" })
      return connected()
    },
    /** The connection comes to nothing, and the gateway answers or not. */
    fail: (answered: boolean) => {
      assert.isTrue(checks(closed()))
      checked(answered)
    },
    greet: (...frames: ReadonlyArray<object>) => {
      tell({ _tag: "opened", connection: state.connection })
      return frames.flatMap((frame) =>
        tell({ _tag: "message", connection: state.connection, data: JSON.stringify(frame) })
      )
    },
    /** Time passes, and the server's heart beats. */
    stay: (ms: number) => {
      for (let passed = 0; passed < ms; passed += 20_000) {
        pass(20_000)
        tell({ _tag: "message", connection: state.connection, data: `{"type":"ping"}` })
      }
    },
    status: () => statusOf(state),
    connection: () => state.connection
  }
}

const minute = 60_000

describe("The choice of a transport", () => {
  it("falls on the other one, at once, after two failures in a row while the gateway answers", () => {
    const session = begin()
    assert.deepStrictEqual(session.start(), ["websocket"])
    session.fail(true)
    assert.deepStrictEqual(session.connected(), [])
    assert.deepStrictEqual(session.next(), ["websocket"])
    session.fail(true)
    assert.deepStrictEqual(session.connected(), ["sse"])
    session.greet(welcome())
    assert.deepStrictEqual(session.status(), { state: "live", transport: "sse" })
  })

  it("fault 45: does not hurry a server that asked for a wait, whatever it finds out meanwhile", () => {
    const session = begin()
    session.start()
    session.fail(true)
    session.next()
    session.greet({ type: "goodbye", reason: "busy", reconnectAfterMs: 7_000 })
    session.closed()
    session.checked(true)
    assert.deepStrictEqual(session.connected(), [])
    session.pass(6_999)
    assert.deepStrictEqual(session.connected(), [])
  })

  it("fault 45: asks one thing at a time", () => {
    const session = begin()
    session.start()
    assert.isTrue(session.checks(session.closed()))
    session.next()
    assert.isFalse(session.checks(session.closed()))
  })

  it("counts each failure that ends before a slow answer, and none of them while nobody answers", () => {
    const session = begin()
    session.start()
    assert.isTrue(session.checks(session.closed()))
    const first = session.connection()
    assert.deepStrictEqual(session.next(), ["websocket"])
    session.closed()
    session.checked(true, first)
    assert.deepStrictEqual(session.connected(), ["sse"])

    const silent = begin()
    silent.start()
    for (let round = 0; round < 5; round++) {
      silent.closed()
      const asked = silent.connection()
      assert.deepStrictEqual(silent.next(), ["websocket"])
      silent.closed()
      silent.checked(false, asked)
      assert.deepStrictEqual(silent.next(), ["websocket"])
    }
    silent.fail(true)
    assert.deepStrictEqual(silent.next(), ["websocket"])
  })

  it("is left as it is while nobody answers", () => {
    const session = begin()
    session.start()
    for (let attempt = 0; attempt < 10; attempt++) {
      session.fail(false)
      assert.deepStrictEqual(session.next(), ["websocket"])
    }
  })

  it("counts a handshake and a welcome that never come as failures", () => {
    const session = begin({ connectTimeoutMs: 3_000 })
    session.start()
    assert.isTrue(session.checks(session.pass(3_000)))
    session.checked(true)
    assert.deepStrictEqual(session.next(), ["websocket"])
    session.greet()
    assert.isTrue(session.checks(session.pass(3_000)))
    session.checked(true)
    assert.deepStrictEqual(session.next(), ["sse"])
  })

  it("does not count a server that says why, nor a connection that was welcomed", () => {
    const session = begin()
    session.start()
    for (const code of [4500, 4503, 4501]) {
      assert.isFalse(session.checks(session.closed(code)))
      assert.deepStrictEqual(session.next(), ["websocket"])
    }
    session.greet(welcome())
    for (let attempt = 0; attempt < 5; attempt++) {
      assert.isFalse(session.checks(session.closed()))
      session.next()
      session.greet(welcome())
    }
  })

  it("forgets a failure once a connection is welcomed", () => {
    const session = begin()
    session.start()
    session.fail(true)
    session.next()
    session.greet(welcome())
    session.closed()
    session.next()
    session.fail(true)
    assert.deepStrictEqual(session.next(), ["websocket"])
  })

  it("takes an answer that comes late, though not one for a connection of before a welcome", () => {
    const late = begin()
    late.start()
    late.closed()
    const first = late.connection()
    assert.deepStrictEqual(late.next(), ["websocket"])
    late.checked(true, first)
    late.fail(true)
    assert.deepStrictEqual(late.next(), ["sse"])

    const over = begin()
    over.start()
    over.closed()
    const before = over.connection()
    over.next()
    over.greet(welcome())
    over.checked(true, before)
    over.closed()
    over.next()
    over.fail(true)
    assert.deepStrictEqual(over.next(), ["websocket"])
  })

  it("is kept for ten minutes, then the next connection tries the preferred one, and one failure is enough", () => {
    const session = begin()
    session.start()
    session.fail(true)
    session.next()
    session.fail(true)
    assert.deepStrictEqual(session.next(), ["sse"])
    session.greet(welcome())
    session.stay(9 * minute)
    session.closed()
    assert.deepStrictEqual(session.next(), ["sse"])
    session.greet(welcome())

    session.stay(2 * minute)
    assert.deepStrictEqual(session.status(), { state: "live", transport: "sse" })
    session.closed()
    assert.deepStrictEqual(session.next(), ["websocket"])
    session.fail(true)
    assert.deepStrictEqual(session.next(), ["sse"])
    session.greet(welcome())
    session.closed()
    assert.deepStrictEqual(session.next(), ["sse"])
  })

  it("goes round while neither works, and begins with the one that is preferred", () => {
    const session = begin({ transports: ["sse", "websocket"] })
    const tried = [...session.start()]
    for (let attempt = 0; attempt < 7; attempt++) {
      session.fail(true)
      tried.push(...session.next())
    }
    assert.deepStrictEqual(tried, ["sse", "sse", "websocket", "websocket", "sse", "sse", "websocket", "websocket"])
  })

  it("is none where there is only one", () => {
    const session = begin({ transports: ["websocket"] })
    session.start()
    for (let attempt = 0; attempt < 4; attempt++) {
      session.fail(true)
      assert.deepStrictEqual(session.connected(), [])
      assert.deepStrictEqual(session.next(), ["websocket"])
    }
  })
})

describe("fault 31: what the gateway answers over HTTP", () => {
  const stopped = (status: number, config: Partial<Config> = {}, words: object = {}) => {
    const session = begin(config)
    session.start()
    session.closed()
    session.tell({ _tag: "checked", connection: session.connection(), answer: answerOf(status, JSON.stringify(words)) })
    return session.status()
  }
  const reason = (code: number, name: string, detail: string) => ({
    state: "stopped",
    reason: { _tag: "refused", code, name, detail }
  })

  it("stops a session at a wrong path, a refused origin and headers that are too large, and says what to do", () => {
    assert.deepStrictEqual<unknown>(
      stopped(404),
      reason(404, "notFound", `nothing is at this address: "url" must be the gateway's path (HTTP 404)`)
    )
    assert.deepStrictEqual<unknown>(
      stopped(403, {}, { code: "originRefused", message: "the page's origin is not allowed" }),
      reason(
        403,
        "originRefused",
        `this page's origin is not allowed: add it to the gateway's "origins" (HTTP 403; the server says: the page's origin is not allowed)`
      )
    )
    assert.deepStrictEqual<unknown>(
      stopped(431),
      reason(
        431,
        "headersTooLarge",
        "the request's headers are too large: make the site's cookies smaller (HTTP 431)"
      )
    )
    const only = begin({ transports: ["sse"] })
    only.start()
    only.closed(426, streamRefusal(426, undefined))
    assert.deepStrictEqual<unknown>(
      only.status(),
      reason(
        426,
        "upgradeRequired",
        `the gateway offers no server-sent events: add "websocket" to "transports" (HTTP 426)`
      )
    )
  })

  it("takes no end of a stream for a gateway without any", () => {
    const session = begin({ transports: ["sse"] })
    session.start()
    session.fail(true)
    assert.strictEqual(session.status().state, "waiting")
  })

  it("does not stop one for what may pass, and says what it is", () => {
    for (const [status, name] of [[0, "hidden"], [426, "blocked"]] as const) {
      const waiting = stopped(status, { transports: ["websocket"] })
      assert.strictEqual(waiting.state === "waiting" && waiting.cause._tag === "closed" ? waiting.cause.name : "", name)
    }
    for (const status of [200, 401, 500, 502, 503]) {
      const waiting = stopped(status)
      assert.isUndefined(waiting.state === "waiting" && waiting.cause._tag === "closed" ? waiting.cause.name : "")
    }
  })

  it("does not stop one that was welcomed before at a status of a proxy, but at the gateway's own word", () => {
    const session = begin()
    session.start()
    session.greet(welcome())
    session.closed()
    for (const status of [404, 403]) {
      session.next()
      session.closed()
      session.tell({ _tag: "checked", connection: session.connection(), answer: answerOf(status, "") })
      const waiting = session.status()
      assert.strictEqual(waiting.state, "waiting")
      assert.include(JSON.stringify(waiting), `HTTP ${status}`)
    }
    session.next()
    session.closed()
    session.tell({
      _tag: "checked",
      connection: session.connection(),
      answer: answerOf(403, `{"code":"originRefused"}`)
    })
    assert.strictEqual(session.status().state, "stopped")
  })

  it("gives up an attempt that is on its way when the answer says that it is in vain", () => {
    const session = begin()
    session.start()
    session.closed()
    const first = session.connection()
    session.next()
    const actions = session.tell({ _tag: "checked", connection: first, answer: answerOf(404, "") })
    assert.deepStrictEqual(actions.map(({ _tag }) => _tag), ["disconnect", "status"])
  })
})

describe("A session over server-sent events", () => {
  it("names the epoch of what it acknowledges, and does so again after a second if it did not arrive", () => {
    const session = begin({ transports: ["sse"] })
    session.start()
    session.greet(welcome({ offset: 3 }), events([4]))
    session.tell({ _tag: "handled", position: { epoch: "E1", offset: 4 } })
    const sent = (actions: ReadonlyArray<Action>) =>
      actions.flatMap((action) => action._tag === "send" ? [action.frame] : [])
    const ack = { type: "ack", offset: 4, epoch: "E1" } as const
    assert.deepStrictEqual(sent(session.pass(1_000)), [ack])
    session.tell({ _tag: "unacknowledged", connection: session.connection() })
    assert.deepStrictEqual(sent(session.pass(999)), [])
    assert.deepStrictEqual(sent(session.pass(1)), [ack])
    session.tell({ _tag: "unacknowledged", connection: session.connection() - 1 })
    assert.deepStrictEqual(sent(session.pass(5_000)), [])
  })

  it("fault 37: names what it confirms until a request that named it has arrived", () => {
    const session = begin({ transports: ["sse"] })
    session.start()
    const asking = (offset: number) => ({ ...events([]), events: [wireEvent(offset, { confirm: true })] })
    const handle = (offset: number) =>
      [...session.tell({ _tag: "handled", position: { epoch: "E1", offset } }), ...session.pass(50)]
        .flatMap((action) => action._tag === "send" ? [action.frame] : [])
    const ack = { type: "ack", epoch: "E1" } as const
    session.greet(welcome({ offset: 3 }), asking(4), asking(5), asking(6))
    assert.deepStrictEqual(handle(4), [{ ...ack, offset: 4, confirmed: [4] }])
    assert.deepStrictEqual(handle(5), [{ ...ack, offset: 5, confirmed: [4, 5] }])
    session.tell({ _tag: "acknowledged", connection: session.connection(), confirmed: [4] })
    assert.deepStrictEqual(handle(6), [{ ...ack, offset: 6, confirmed: [5, 6] }])
  })

  it("takes a new token to a new stream, from the position that it has", () => {
    const session = begin({ transports: ["sse"], hasToken: true })
    const [ask] = session.tell({ _tag: "start" })
    const answer = (request: number, token: string) => session.tell({ _tag: "token", request, answer: { token } })
    assert.deepStrictEqual(ask, { _tag: "askToken", request: 1 })
    answer(1, "one")
    session.greet(welcome(), events([1, 2]))
    session.tell({ _tag: "renew" })
    const actions = answer(2, "two")
    assert.deepStrictEqual(actions.slice(0, 2), [
      { _tag: "disconnect", code: 1000, reason: "a new token" },
      { _tag: "connect", connection: 2, transport: "sse" }
    ])
    assert.deepStrictEqual(session.status(), { state: "resuming" })
    assert.deepStrictEqual(session.tell({ _tag: "opened", connection: 2 }), [
      { _tag: "send", frame: { type: "hello", accepts: ["command"], token: "two", resume: { epoch: "E1", offset: 2 } } }
    ])
  })
})
