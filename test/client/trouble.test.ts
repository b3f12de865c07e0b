/**
 * Both clients, with a program all of whose callbacks throw at random.
 */
import { assert, describe, it, vi } from "@effect/vitest"
import { Effect, Random, References, type Scope, Stream, SubscriptionRef } from "effect"
import { Client, connect, type PositionStorage } from "effect-emitter/client"
import { TestClock } from "effect/testing"
import { fakeWorld } from "./FakeWorld.ts"
import { Dice, ModelServer } from "./ModelServer.ts"
import { modelSockets, Trouble } from "./ModelSocket.ts"

interface Handled {
  readonly id: string
  readonly offset: number
}

interface Subject {
  readonly handled: ReadonlyArray<Handled>
  readonly isLive: () => boolean
  readonly pass: (ms: number) => Effect.Effect<void>
}

interface Setting {
  readonly trouble: Trouble
  readonly server: ModelServer
  readonly WebSocket: ReturnType<typeof modelSockets>["WebSocket"]
  readonly storage: PositionStorage.PositionStorage
}

const url = "ws://127.0.0.1/events"

const subjects: Record<string, (setting: Setting) => Effect.Effect<Subject, never, Scope.Scope>> = {
  connect: ({ storage, trouble, WebSocket }) =>
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => {
          const world = fakeWorld()
          const handled: Array<Handled> = []
          const connection = connect({
            url,
            storage,
            platform: { ...world.platform, random: () => trouble.dice.next(), WebSocket },
            token: async () => {
              trouble.throws()
              return "t"
            },
            onEvent: ({ id, offset }) => {
              handled.push({ id, offset })
              return trouble.fails()
            },
            onStatus: () => trouble.fails(),
            onGap: () => trouble.fails(),
            onSnapshot: () => trouble.fails(),
            onLost: () => trouble.fails(),
            onError: () => trouble.fails()
          })
          return { connection, handled, world }
        }),
        ({ connection }) => Effect.sync(connection.close)
      ),
      ({ connection, handled, world }): Subject => ({
        handled,
        isLive: () => connection.status.getSnapshot().state === "live",
        pass: (ms) => Effect.promise(() => world.pass(ms))
      })
    ),
  Client: ({ storage, trouble, WebSocket }) =>
    Effect.gen(function*() {
      const handled: Array<Handled> = []
      const token = Effect.suspend(() => {
        trouble.throws()
        return trouble.dice.chance(trouble.chance) ? Effect.interrupt : Effect.succeed("t")
      })
      const client = yield* Effect.orDie(Client.make({ url, storage, webSocket: WebSocket, token }))
      let live = false
      yield* Effect.forkScoped(
        Stream.runForEach(client.events, ({ id, offset }) => Effect.sync(() => handled.push({ id, offset })))
      )
      const look = Effect.map(SubscriptionRef.get(client.status), ({ state }) => {
        live = state === "live"
      })
      const settle = Effect.repeat(TestClock.adjust(0), { times: 5 })
      return {
        handled,
        isLive: () => live,
        pass: (ms) => Effect.andThen(Effect.andThen(TestClock.adjust(ms), settle), look)
      }
    })
}

/** Runs a schedule in which everything may throw, then one in which nothing does, until all is there. */
const play = Effect.fnUntraced(function*(seed: number, make: (typeof subjects)[string]) {
  const dice = new Dice(seed)
  const server = new ModelServer(dice)
  const trouble = new Trouble(dice, 0.2)
  const { current, open, WebSocket } = modelSockets(server, trouble)
  const saved: Array<number> = []
  const storage: PositionStorage.PositionStorage = {
    load: () => {
      trouble.throws()
      return { epoch: "E1", offset: 0 }
    },
    save: ({ offset }) => {
      saved.push(offset)
      return trouble.fails()
    }
  }
  const subject = yield* make({ trouble, server, WebSocket, storage })
  // A load that threw starts at the head, which is then the beginning as well.
  yield* subject.pass(0)
  while (server.all.length === 0) {
    current()?.advance()
    yield* subject.pass(100)
    if (subject.isLive()) server.append(1)
  }
  for (let turn = dice.int(40, 120); turn > 0; turn--) {
    const socket = current()
    const kind = dice.next()
    if (kind < 0.2) server.append(dice.int(1, 4))
    else if (kind < 0.3) yield* subject.pass(dice.int(0, 2_000))
    else if (socket === undefined) yield* subject.pass(500)
    else if (kind < 0.4) socket.drop()
    else if (kind < 0.65) server.pump(socket.peer)
    else socket.advance()
    yield* subject.pass(0)
    assert.isAtMost(open.length, 1, "more than one socket is open")
    const { offset } = subject.handled.at(-1) ?? { offset: 0 }
    assert.isAtMost(Math.max(0, ...saved), offset, "a position was saved before its event was handled")
  }
  const { thrown } = trouble
  trouble.chance = 0
  const isThere = () =>
    subject.isLive() && current()?.peer.frames.length === 0 && current()?.peer.cursor?.offset === server.head
  for (let turn = 0; !isThere(); turn++) {
    if (turn > 2_000) return assert.fail(`it does not come to rest: ${JSON.stringify(current()?.peer)}`)
    const socket = current()
    if (socket !== undefined) server.pump(socket.peer, 1_000)
    socket?.advance()
    yield* subject.pass(200)
  }
  yield* subject.pass(3_000)
  assert.deepStrictEqual(
    subject.handled,
    server.all.map(({ event: { id, offset } }) => ({ id, offset })),
    "each event once, in order, none missing"
  )
  assert.strictEqual(saved.at(-1), server.head)
  return thrown
})

describe("a program whose callbacks throw", () => {
  for (const [name, subject] of Object.entries(subjects)) {
    it.effect(`fault 19: ${name} hands over each event once and in order, whatever throws, and whenever`, () =>
      Effect.gen(function*() {
        const uncaught: Array<unknown> = []
        const native = queueMicrotask
        vi.stubGlobal("queueMicrotask", (run: () => void) =>
          native(() => {
            try {
              run()
            } catch (error) {
              uncaught.push(error)
            }
          }))
        yield* Effect.addFinalizer(() => Effect.sync(() => vi.unstubAllGlobals()))
        let thrown = 0
        for (let seed = 1; seed <= 25; seed++) {
          thrown += yield* Effect.scoped(play(seed, subject)).pipe(
            Random.withSeed(seed),
            Effect.provideService(References.MinimumLogLevel, "None"),
            Effect.catchDefect((cause) => Effect.die(new Error(`seed ${seed}: ${String(cause)}`, { cause })))
          )
        }
        assert.isAbove(thrown, 100)
        // What `onError` threw, and what it could not be told, is the platform's.
        if (name === "connect") assert.isNotEmpty(uncaught)
      }))
  }
})
