/**
 * How long is it from the click on Stop until the fiber of the run is interrupted?
 *
 * The device is this package's client, over a real socket to a gateway. Once the gateway and the run are of one process
 * over memory; once the device is at one gateway and the run beside another, each with a broker of its own over one Redis.
 * The baseline is a stop endpoint by hand: a message over `ws` to the process that has the fiber, which interrupts it. It
 * checks nobody, remembers nothing, and tells nobody what came of it.
 */
import { NodeHttpServer } from "@effect/platform-node"
import { Context, Deferred, Effect, type Fiber, Layer, Redacted, Scope } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import * as Jose from "jose"
import { createServer } from "node:http"
import { WebSocket, WebSocketServer } from "ws"
import { RedisBroker } from "../src/broker/redis/index.ts"
import { connect } from "../src/client/index.ts"
import { Authenticator, Gateway } from "../src/gateway/index.ts"
import { Broker, EmitterLayer, Emitters } from "../src/index.ts"
import { seconds } from "./harness/clock.ts"
import { check, compare, type Figure, figureAtMost, type Question, type Settings } from "./harness/question.ts"
import { withRedis } from "./harness/redis.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { quantile, summarize } from "./harness/statistics.ts"

const secret = "a secret for benchmarks, longer than 32 characters"

const token = () =>
  new Jose.SignJWT({ sub: "ada" }).setProtectedHeader({ alg: "HS256" }).setExpirationTime("2 hours")
    .sign(new TextEncoder().encode(secret))

/** Stops a run once, and gives how long that took, in seconds. */
type Stop = (run: string) => Promise<number>

/** A gateway and the engine beside it. */
const node = <E>(broker: Layer.Layer<Broker.Broker, E>) =>
  HttpRouter.serve(
    Gateway.layer({ path: "/events", commands: { rate: { perConnection: 1_000, perUser: 1_000 } } }),
    { disableListenLog: true, disableLogger: true }
  ).pipe(
    Layer.provideMerge(EmitterLayer({ profile: "lowLatency" })),
    Layer.provide(broker),
    Layer.provide(Authenticator.layerJwt({ secret: Redacted.make(secret) })),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
    Layer.fresh,
    Layer.build
  )

const ours = async <E>(brokers: ReadonlyArray<Layer.Layer<Broker.Broker, E>>, scope: Scope.Scope): Promise<Stop> => {
  const nodes = await Effect.runPromise(Effect.orDie(Effect.forEach(brokers, node)).pipe(Scope.provide(scope)))
  const [first, last] = [nodes[0], nodes.at(-1)]
  check(first !== undefined && last !== undefined, "there is no node")
  const { address } = Context.get(first, HttpServer.HttpServer)
  const connection = connect({
    url: `ws://127.0.0.1:${"port" in address ? address.port : 0}/events`,
    token,
    transports: ["websocket"]
  })
  await Effect.runPromise(Scope.addFinalizer(scope, Effect.sync(connection.close)))
  const { forUser } = Context.get(last, Emitters)
  return (run) =>
    Effect.runPromise(Effect.scoped(Effect.gen(function*() {
      const emitter = yield* forUser({ userId: "ada", runId: run })
      const stopped = yield* Deferred.make<number>()
      const work = Effect.onInterrupt(Effect.never, () => Deferred.succeed(stopped, seconds()))
      yield* Effect.forkChild(Effect.exit(emitter.run(work, { agentName: "bench" })))
      const handle = connection.run(run)
      while (handle.get()?.status !== "active") yield* Effect.sleep("1 millis")
      const clickedAt = seconds()
      const outcome = yield* Effect.promise(() => handle.cancel())
      check(outcome.outcome === "accepted", `a cancel was refused: ${JSON.stringify(outcome)}`)
      return (yield* Deferred.await(stopped)) - clickedAt
    })))
}

const byHand = async (scope: Scope.Scope): Promise<Stop> => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" })
  await new Promise((resolve) => server.once("listening", resolve))
  const address = server.address()
  const client = new WebSocket(`ws://127.0.0.1:${typeof address === "object" ? address?.port : 0}`)
  const fibers = new Map<string, Fiber.Fiber<never>>()
  server.on("connection", (socket) => {
    socket.on("message", (message) => fibers.get(String(message))?.interruptUnsafe())
  })
  await new Promise((resolve) => client.once("open", resolve))
  await Effect.runPromise(Scope.addFinalizer(
    scope,
    Effect.sync(() => {
      client.terminate()
      server.close()
    })
  ))
  return (run) =>
    Effect.runPromise(Effect.gen(function*() {
      const stopped = yield* Deferred.make<number>()
      const work = Effect.onInterrupt(Effect.never, () => Deferred.succeed(stopped, seconds()))
      fibers.set(run, yield* Effect.forkDetach(work, { startImmediately: true }))
      const clickedAt = seconds()
      client.send(run)
      const stoppedAt = yield* Deferred.await(stopped)
      fibers.delete(run)
      return stoppedAt - clickedAt
    }))
}

/** Stops as many runs one after the other, and gives the median; the 99th percentile is kept beside it. */
const makeContestant = (name: string, stop: Stop, count: number) => {
  const late: Array<number> = []
  let runs = 0
  const contestant: Contestant = async (round) => {
    const took: Array<number> = []
    for (let n = 0; n < count; n++) took.push(await stop(`run-${runs++}`))
    const sorted = took.toSorted((a, b) => a - b)
    if (round >= 0) late.push(quantile(sorted, 0.99))
    return quantile(sorted, 0.5)
  }
  const p99 = (): Figure => ({ contestant: name, unit: "seconds", value: summarize(late) })
  return { contestant, p99 }
}

const compareAll = async (url: string, scope: Scope.Scope, settings: Settings) => {
  // All rounds together stay below the 1,024 commands that are remembered of a user.
  const count = settings.quick ? 100 : 150
  const redis = RedisBroker.layer({ url })
  const memory = makeContestant("over memory", await ours([Broker.layerMemory()], scope), count)
  const spread = makeContestant("over Redis", await ours([redis, redis], scope), count)
  const plain = makeContestant("a stop endpoint by hand", await byHand(scope), count)
  const figures = await interleave(
    {
      "over memory": memory.contestant,
      "over Redis": spread.contestant,
      "a stop endpoint by hand": plain.contestant
    },
    "seconds",
    settings.quick ? { rounds: 3, warmUps: 1 } : { rounds: 5, warmUps: 1 },
    settings
  )
  const baseline = figures["a stop endpoint by hand"]
  return {
    comparisons: [
      compare("from Stop to the interrupted fiber, one process, p50", figures["over memory"], baseline),
      compare("from Stop to the interrupted fiber, one process, p99", memory.p99(), plain.p99()),
      compare(
        "from Stop to the interrupted fiber, two gateways over Redis, p50",
        figures["over Redis"],
        baseline,
        figureAtMost(0.05)
      ),
      compare("from Stop to the interrupted fiber, two gateways over Redis, p99", spread.p99(), plain.p99())
    ],
    notes: ["all processes of a contestant are one here, with the device"]
  }
}

export const question: Question = {
  asks: "from Stop to the interrupted fiber",
  answer: (settings) => withRedis(async (start, scope) => compareAll((await start()).url, scope, settings))
}
