import { assert, describe, it } from "@effect/vitest"
import { step, wakeAt } from "../../../src/client/session/DeviceSession.ts"
import type { Action, Input } from "../../../src/client/session/SessionIO.ts"
import { defaults, init, type State } from "../../../src/client/session/SessionState.ts"
import { welcome } from "../FakeSocket.ts"
import { ModelClient } from "../ModelClient.ts"
import { Dice, ModelServer } from "../ModelServer.ts"
import { moment } from "../moment.ts"
import { catchUp } from "./play.ts"

const command = (id: string) => ({ type: "command", id, run: "r1", name: "cancel" }) as const
const takes = welcome({ accepts: ["later", "command"] })
const accepted = (id: string) => ({ type: "command", id, outcome: "accepted" })
const refused = (id: string, reason: string) => ({ type: "command", id, outcome: "refused", reason })

/** A session in the hands of a test: each call gives the commands that were sent, and the answers that came, by id. */
class Hands {
  state: State = init(defaults, 7, moment(0))
  now = 0

  tell(input: Input): ReadonlyArray<string> {
    const { actions, state } = step(this.state, input, moment(this.now))
    this.state = state
    return actions.flatMap(shown)
  }

  push(frame: object) {
    return this.tell({ _tag: "message", connection: this.state.connection, data: JSON.stringify(frame) })
  }

  /** Connects, if it has to, and is welcomed. */
  greet(frame: object) {
    if (this.state.phase._tag === "Idle") this.tell({ _tag: "start" })
    if (this.state.phase._tag === "Waiting") this.pass((wakeAt(this.state) ?? 0) - this.now)
    this.tell({ _tag: "opened", connection: this.state.connection })
    return this.push(frame)
  }

  ask(id: string) {
    return this.tell({ _tag: "ask", command: command(id) })
  }

  pass(ms: number) {
    this.now += ms
    return this.tell({ _tag: "tick" })
  }

  cut() {
    return this.tell({ _tag: "closed", connection: this.state.connection, code: 1006, reason: "" })
  }
}

const shown = (action: Action): ReadonlyArray<string> => {
  if (action._tag === "send" && action.frame.type === "command") return [`sent ${action.frame.id}`]
  if (action._tag !== "answered") return []
  const { id, outcome } = action
  return [`${id} ${outcome?.outcome === "refused" ? outcome.reason : outcome?.outcome ?? "unsupported"}`]
}

describe("Commands of a session", () => {
  it("name in the hello what the client takes", () => {
    const hands = new Hands()
    hands.tell({ _tag: "start" })
    const { actions } = step(hands.state, { _tag: "opened", connection: 1 }, moment(0))
    assert.deepStrictEqual(actions.flatMap((action) => action._tag === "send" ? [action.frame] : []), [
      { type: "hello", accepts: ["command"] }
    ])
  })

  it("wait for a welcome that accepts them, and are sent at once after it", () => {
    const hands = new Hands()
    assert.deepStrictEqual(hands.ask("c1"), [])
    assert.deepStrictEqual(hands.greet(takes), ["sent c1"])
    assert.deepStrictEqual(hands.ask("c2"), ["sent c2"])
    assert.deepStrictEqual(hands.push(accepted("c2")), ["c2 accepted"])
    assert.deepStrictEqual(hands.push(refused("c1", "ended")), ["c1 ended"])
    assert.deepStrictEqual(hands.push(accepted("c1")), [])
    assert.strictEqual(hands.state.commands.size, 0)
  })

  it("that were never sent are not supported by a server that does not accept them", () => {
    const hands = new Hands()
    hands.ask("c1")
    assert.deepStrictEqual(hands.greet(welcome()), ["c1 unsupported"])
    assert.deepStrictEqual(hands.ask("c2"), ["c2 unsupported"])
    assert.strictEqual(hands.state.phase._tag, "Open")
  })

  it("that were sent stay over a server that does not accept them, until another one answers", () => {
    const hands = new Hands()
    hands.greet(takes)
    hands.ask("c1")
    hands.cut()
    assert.deepStrictEqual(hands.greet(welcome()), [])
    assert.deepStrictEqual(hands.pass(20_000), [])
    hands.cut()
    assert.deepStrictEqual(hands.greet(takes), ["sent c1"])
    assert.deepStrictEqual(hands.push(accepted("c1")), ["c1 accepted"])
  })

  it("are sent again on each new connection, and after ten seconds without an answer", () => {
    const hands = new Hands()
    hands.greet(takes)
    assert.deepStrictEqual(hands.ask("c1"), ["sent c1"])
    assert.deepStrictEqual(hands.pass(9_999), [])
    assert.strictEqual(wakeAt(hands.state), 10_000)
    assert.deepStrictEqual(hands.pass(1), ["sent c1"])
    hands.cut()
    assert.deepStrictEqual(hands.greet(takes), ["sent c1"])
  })

  it("are sent again once the server is live again, since nobody could decide before", () => {
    const hands = new Hands()
    hands.greet(takes)
    hands.push({ type: "status", state: "degraded" })
    assert.deepStrictEqual(hands.ask("c1"), ["sent c1"])
    assert.deepStrictEqual(hands.push({ type: "status", state: "live" }), ["sent c1"])
    assert.deepStrictEqual(hands.push(accepted("c1")), ["c1 accepted"])
  })

  it("that were repeated wait on when there are too many, those that were not do not", () => {
    const hands = new Hands()
    hands.greet(takes)
    hands.ask("c1")
    assert.deepStrictEqual(hands.push(refused("c1", "tooMany")), ["c1 tooMany"])
    hands.ask("c2")
    hands.cut()
    hands.greet(takes)
    assert.deepStrictEqual(hands.push(refused("c2", "tooMany")), [])
    assert.deepStrictEqual(hands.pass(10_000), ["sent c2"])
    assert.deepStrictEqual(hands.push(refused("c2", "ended")), ["c2 ended"])
  })

  it("that nobody waits for any more are not sent, and answers to them are ignored", () => {
    const hands = new Hands()
    hands.ask("c1")
    hands.tell({ _tag: "forget", id: "c1" })
    assert.deepStrictEqual(hands.greet(takes), [])
    hands.ask("c2")
    hands.tell({ _tag: "forget", id: "c2" })
    assert.deepStrictEqual(hands.push(accepted("c2")), [])
    assert.strictEqual(hands.state.phase._tag, "Open")
    assert.strictEqual(hands.state.commands.size, 0)
  })

  it("that are answered are no sign of life of the stream, since the answer may come by a request of its own", () => {
    const hands = new Hands()
    hands.greet(takes)
    hands.ask("c1")
    const silentAt = 37_500
    hands.pass(30_000)
    hands.push(accepted("c1"))
    assert.strictEqual(wakeAt(hands.state), silentAt)
    hands.pass(7_500)
    assert.strictEqual(hands.state.phase._tag, "Waiting")
  })

  it("are each answered once as they were decided, over any schedule of losses and servers", () => {
    for (let seed = 0; seed < 300; seed++) {
      const dice = new Dice(seed)
      const server = new ModelServer(dice)
      const client = new ModelClient(server, { transports: [dice.pick(["websocket", "sse"] as const)] })
      const asked: Array<string> = []
      for (let turn = 0; turn < 100; turn++) {
        const kind = dice.next()
        if (kind < 0.15) {
          asked.push(`c${asked.length}`)
          client.tell({ _tag: "ask", command: command(`c${asked.length - 1}`) })
        } else if (kind < 0.2) client.cut(1006)
        else if (kind < 0.25) server.accepts = dice.chance(0.7)
        else if (kind < 0.35) client.pass(dice.int(0, 11_000))
        else if (client.state.phase._tag === "Waiting") client.pass()
        else client.advance()
      }
      server.accepts = true
      for (let turn = 0; client.outcomes.size < asked.length; turn++) {
        assert.isBelow(turn, 1_000, `seed ${seed}`)
        client.cut(1006)
        const socket = catchUp(client, server)
        while (socket.frames.length > 0) client.advance()
      }
      for (const [id, outcome] of client.outcomes) {
        if (outcome === "accepted") assert.strictEqual(server.done.get(id), 1, `seed ${seed}: ${id}`)
        else assert.isUndefined(server.done.get(id), `seed ${seed}: ${id} was ${outcome}`)
      }
      assert.strictEqual(client.state.commands.size, 0)
    }
  })
})
