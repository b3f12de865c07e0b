/** Users spread over several Redis servers. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Context, Effect, Exit, Layer, Schema, Scope } from "effect"
import { Broker, EmitterLayer, Emitters, Event } from "effect-emitter"
import { RedisBroker } from "effect-emitter/redis"
import type { UserId } from "../../../src/protocol/values/Identity.ts"
import { type RedisServer, redisServer } from "../../support/redis.ts"
import { brokerSuite } from "../brokerSuite.ts"
import { eventually, idOf, newUser, numbered, plenty } from "../events.ts"
import { connected, persist, program, withServer } from "./redisNode.ts"

type Urls = Extract<Parameters<typeof RedisBroker.layer>[0], { readonly urls: unknown }>["urls"]
type More = Omit<Parameters<typeof RedisBroker.layer>[0], "url" | "urls">

const sharded = (urls: Urls, options: More = {}) =>
  Effect.map(
    Layer.build(Layer.fresh(RedisBroker.layer({ urls, ...options }))),
    (context) => Context.get(context, Broker.Broker)
  )

/** A user of this shard. */
const userOf = (broker: Broker.Broker["Service"], { port }: RedisServer): UserId => {
  while (true) {
    const user = newUser()
    if (broker.domains?.of(user) === `127.0.0.1:${port}/0`) return user
  }
}

const withTwo = <E>(
  body: (one: RedisServer, other: RedisServer) => Effect.Effect<void, E, Scope.Scope>
) => withServer({}, (one) => Effect.flatMap(redisServer(program ?? ""), (other) => body(one, other)))

describe.skipIf(program === undefined)("RedisBroker, over several servers", () => {
  let scope: Scope.Closeable | undefined
  let servers: ReadonlyArray<RedisServer> = []
  beforeAll(async () => {
    const opened = Effect.runSync(Scope.make())
    scope = opened
    const starting = Effect.all([redisServer(program ?? ""), redisServer(program ?? "")])
    servers = await Effect.runPromise(Scope.provide(starting, opened))
  })
  afterAll(async () => {
    if (scope !== undefined) await Effect.runPromise(Scope.close(scope, Exit.void))
  })

  brokerSuite("two Redis servers", (limits) =>
    Layer.suspend(() => {
      const [one, other] = servers.map(({ url }) => url)
      return connected(RedisBroker.layer({ urls: [one ?? "", other ?? ""], deadline: "5 seconds", ...limits }))
    }), { isShared: true })

  it.live(
    "finds a user on the same server from every process, in whatever order the servers are listed",
    () =>
      withTwo((one, other) =>
        Effect.gen(function*() {
          const here = yield* sharded([one.url, other.url])
          const there = yield* sharded([{ url: other.url, weight: 1 }, { url: one.url }])
          for (let n = 0; n < 20; n++) {
            const user = newUser()
            const position = yield* here.append(user, numbered(1))
            assert.deepStrictEqual(yield* there.head(user), position)
          }
          const counts = yield* Effect.forEach([one, other], ({ send }) => send("DBSIZE"))
          for (const count of counts) assert.isAbove(Number(count.slice(1)), 0)
        })
      ),
    120_000
  )

  it.live(
    "costs only its own users their broker when a server is killed, and their spool drains once it is back",
    () =>
      withTwo((one, other) =>
        Effect.gen(function*() {
          const options = { urls: [one.url, other.url], deadline: "300 millis" } as const
          yield* Effect.gen(function*() {
            const broker = yield* Broker.Broker
            const { forUser, stats } = yield* Emitters
            const [ofOne, ofOther] = [userOf(broker, one), userOf(broker, other)]
            const [first, second] = [yield* forUser({ userId: ofOne }), yield* forUser({ userId: ofOther })]
            const Step = Event.make("step", { payload: { n: Schema.Int }, delivery: "critical" })
            const names = [`broker/127.0.0.1:${one.port}/0`, `broker/127.0.0.1:${other.port}/0`] as const

            yield* first.emit(Step.make({ n: 1 }))
            yield* one.kill
            const emitBoth = Effect.fnUntraced(function*(n: number) {
              yield* first.emit(Step.make({ n }))
              const receipt = yield* second.emit(Step.make({ n }))
              assert.strictEqual(receipt._tag, "Appended")
            })
            for (let n = 2; n <= 10; n++) yield* emitBoth(n)
            yield* eventually(stats, ({ breakers }) => breakers[names[0]] === "open", "an open breaker")
            for (let n = 11; n <= 20; n++) yield* emitBoth(n)
            const during = yield* stats
            assert.strictEqual(during.breakers[names[1]], "closed")
            assert.isAbove(during.delivery.breakerOpenings[names[0]] ?? 0, 0)
            assert.strictEqual(during.delivery.breakerOpenings[names[1]], 0)
            assert.strictEqual(during.delivery.spool?.users, 1)
            assert.isTrue(Exit.isFailure(yield* Effect.exit(broker.head(ofOne))))

            yield* one.start
            yield* eventually(stats, ({ delivery }) => delivery.spool?.events === 0, "an empty spool")
            const back = yield* persist(broker.pull(ofOne, { epoch: "another", offset: 0 }, plenty))
            assert.deepStrictEqual(back.entries.map(({ body }) => JSON.parse(`{${body}`).data.n).at(-1), 20)
            assert.strictEqual(new Set(back.entries.map(idOf)).size, back.entries.length)
            assert.strictEqual((yield* stats).deadLettered, 0)
          }).pipe(
            Effect.scoped,
            Effect.provide(
              EmitterLayer({ profile: "lowLatency" }).pipe(Layer.provideMerge(RedisBroker.layer(options)))
            )
          )
        })
      ),
    120_000
  )

  it.live("is built while one of them is down", () =>
    withTwo((one, other) =>
      Effect.gen(function*() {
        yield* one.kill
        const broker = yield* sharded([one.url, other.url], { deadline: "3 seconds" })
        assert.isTrue(Exit.isFailure(yield* Effect.exit(broker.append(userOf(broker, one), numbered(1)))))
        assert.strictEqual((yield* broker.append(userOf(broker, other), numbered(1))).offset, 1)
        yield* one.start
        assert.strictEqual((yield* persist(broker.append(userOf(broker, one), numbered(1)))).offset, 1)
      })
    ), 120_000)

  it.live(
    "begins a new epoch for the users who move to a server that was added, and tells them by a gap",
    () =>
      withTwo((one, other) =>
        Effect.gen(function*() {
          const [before, after] = [yield* sharded([one.url]), yield* sharded([one.url, other.url])]
          const [stays, moves] = [userOf(after, one), userOf(after, other)]
          for (const user of [stays, moves]) {
            const position = yield* before.append(user, numbered(1, 2))
            yield* after.append(user, numbered(3))
            const slice = yield* after.pull(user, position, plenty)
            assert.deepStrictEqual(slice.entries.map(idOf), ["s.3"])
            const gap = { epoch: slice.next.epoch, from: 1, to: 0, reason: "epoch" } as const
            assert.deepStrictEqual(slice.gap, user === moves ? gap : undefined)
          }
        })
      ),
    120_000
  )
})

const refusal = (options: object) =>
  Effect.gen(function*() {
    const layer = RedisBroker.layerConfig(Config.succeed(options))
    return (yield* Effect.flip(Effect.scoped(Layer.build(layer)))).message
  })

describe("RedisBroker, its options for several servers", () => {
  const secret = "hunter2"

  it.effect("are either url or urls", () =>
    Effect.gen(function*() {
      for (const options of [{}, { url: "redis://one", urls: ["redis://other"] }]) {
        assert.match(yield* refusal(options), /either url or urls must be given/)
      }
    }))

  it.effect("refuse two servers of one name, also where the addresses are only written differently", () =>
    Effect.gen(function*() {
      const cases = [
        ["redis://a.example", "rediss://user:hunter2@A.example:6379/0"],
        [{ url: "redis://a", name: "x" }, { url: "redis://b", name: "x" }]
      ]
      for (const urls of cases) {
        const message = yield* refusal({ urls })
        assert.match(message, /two of the servers are called (a\.example:6379\/0|x)/)
        assert.include(message, "urls.1: ")
        assert.notInclude(message, secret)
      }
    }))

  it.effect("are refused without telling what stands in a URL", () =>
    Effect.gen(function*() {
      const urls = [
        `redis:/user:${secret}@host`,
        { url: `http://user:${secret}@host` },
        { url: `redis://user:${secret}@host:port` },
        { url: "redis://fine", weight: 0, name: `user:${secret}@host` }
      ]
      for (const one of urls) {
        const message = yield* refusal({ urls: [one] })
        assert.include(message, "urls")
        assert.notInclude(message, secret)
      }
    }))

  it.effect("may come from Config", () =>
    Effect.gen(function*() {
      const layer = RedisBroker.layerConfig({
        urls: Config.schema(Schema.NonEmptyArray(Schema.String), "REDIS_URLS"),
        silence: Config.succeed("100 millis")
      })
      const provider = ConfigProvider.fromUnknown({ REDIS_URLS: ["redis://127.0.0.1:1", "redis://127.0.0.1:2"] })
      const context = yield* Layer.build(Layer.provide(layer, ConfigProvider.layer(provider)))
      assert.deepStrictEqual(Context.get(context, Broker.Broker).domains?.names, ["127.0.0.1:1/0", "127.0.0.1:2/0"])
    }).pipe(Effect.scoped))
})
