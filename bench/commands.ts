/**
 * How long is it from the click on Stop until the fiber of the run is interrupted, and from an answer until the run goes
 * on with it? How many commands per second do devices get done?
 *
 * Devices are this package's client, over real sockets to a gateway. Once the gateway and the runs are of one process
 * over memory; once the devices are at one gateway and the runs beside another, each with a broker of its own over one
 * Redis. The baseline is an endpoint by hand: a message over `ws` to the process that has the fiber, which interrupts it,
 * answers it, or says that it took the command. It checks nobody, remembers nothing, and shows nobody what came of it.
 * What a command costs Redis, `redis-commands` asks.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Deferred, Effect, type Fiber, Layer, Schema, Scope, Stream } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import { WebSocket, WebSocketServer } from "ws"
import { RedisBroker } from "../src/broker/redis/index.ts"
import { connect } from "../src/client/index.ts"
import { Gateway } from "../src/gateway/index.ts"
import { Broker, Command, EmitterLayer, Emitters } from "../src/index.ts"
import { authenticator, ticketFor } from "./contestants/tickets.ts"
import { seconds } from "./harness/clock.ts"
import { check, compare, type Figure, figureAtMost, type Question, type Settings } from "./harness/question.ts"
import { withRedis } from "./harness/redis.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { quantile, summarize } from "./harness/statistics.ts"
import { userOf } from "./harness/workload.ts"

const Steer = Command.make("steer", { payload: { text: Schema.String } })

/** Does something of a run once, and gives how long that took, in seconds. */
type Trip = (run: string) => Promise<number>

interface Commander {
  readonly stop: Trip
  readonly answer: Trip
  /** Sends a command of the program's own, and waits until it is known that it was taken. */
  readonly steer: ReadonlyArray<() => Promise<void>>
}

/** So many users steer at once, each with as many commands on their way. */
const steering = { users: 8, inFlight: 8 }

/** A gateway and the engine beside it. */
const node = <E>(broker: Layer.Layer<Broker.Broker, E>) =>
  HttpRouter.serve(
    Gateway.layer({ path: "/events", commands: { rate: { perConnection: 100_000, perUser: 100_000 } } }),
    { disableListenLog: true, disableLogger: true }
  ).pipe(
    Layer.provideMerge(EmitterLayer({ profile: "lowLatency" })),
    Layer.provide(broker),
    Layer.provide(authenticator),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
    Layer.fresh,
    Layer.build
  )

const ours = async <E>(
  brokers: ReadonlyArray<Layer.Layer<Broker.Broker, E>>,
  scope: Scope.Scope
): Promise<Commander> => {
  const nodes = await Effect.runPromise(Effect.orDie(Effect.forEach(brokers, node)).pipe(Scope.provide(scope)))
  const [first, last] = [nodes[0], nodes.at(-1)]
  check(first !== undefined && last !== undefined, "there is no node")
  const { address } = Context.get(first, HttpServer.HttpServer)
  const { forUser } = Context.get(last, Emitters)
  // What is remembered of a user's commands is bounded, so each kind has a user of its own.
  const deviceOf = async (user: string) => {
    const device = connect({
      url: `ws://127.0.0.1:${"port" in address ? address.port : 0}/events`,
      token: () => ticketFor(user),
      transports: ["websocket"]
    })
    await Effect.runPromise(Scope.addFinalizer(scope, Effect.sync(device.close)))
    return device
  }

  const stopper = await deviceOf("stopper")
  const stop: Trip = (run) =>
    Effect.runPromise(Effect.scoped(Effect.gen(function*() {
      const emitter = yield* forUser({ userId: "stopper", runId: run })
      const stopped = yield* Deferred.make<number>()
      const work = Effect.onInterrupt(Effect.never, () => Deferred.succeed(stopped, seconds()))
      yield* Effect.forkChild(Effect.exit(emitter.run(work, { agentName: "bench" })))
      const handle = stopper.run(run)
      while (handle.get()?.status !== "active") yield* Effect.sleep("1 millis")
      const clickedAt = seconds()
      const outcome = yield* Effect.promise(() => handle.cancel())
      check(outcome.outcome === "accepted", `a cancel was refused: ${JSON.stringify(outcome)}`)
      return (yield* Deferred.await(stopped)) - clickedAt
    })))

  const answerer = await deviceOf("answerer")
  const answer: Trip = (run) =>
    Effect.runPromise(Effect.scoped(Effect.gen(function*() {
      const emitter = yield* forUser({ userId: "answerer", runId: run })
      const wentOn = yield* Deferred.make<number>()
      const work = emitter.ask({ kind: "approval", title: "Go on?" }).pipe(
        Effect.andThen(Effect.suspend(() => Deferred.succeed(wentOn, seconds())))
      )
      yield* Effect.forkChild(Effect.exit(emitter.run(work, { agentName: "bench" })))
      const handle = answerer.run(run)
      const asked = () => {
        const part = handle.get()?.parts.find(({ type }) => type === "request")
        return part?.type === "request" ? part.requestId : undefined
      }
      while (asked() === undefined) yield* Effect.sleep("1 millis")
      const tappedAt = seconds()
      const outcome = yield* Effect.promise(() => handle.answer(asked() ?? "", true))
      check(outcome.outcome === "accepted", `an answer was refused: ${JSON.stringify(outcome)}`)
      return (yield* Deferred.await(wentOn)) - tappedAt
    })))

  const steer = await Promise.all(Array.from({ length: steering.users }, async (_, index) => {
    const user = userOf(index)
    const device = await deviceOf(user)
    const emitter = await Effect.runPromise(
      forUser({ userId: user, runId: `steered-${user}` }).pipe(Scope.provide(scope))
    )
    const work = Stream.runDrain(emitter.commands(Steer))
    const asRun = emitter.run(work, { agentName: "bench", commands: [Steer] })
    await Effect.runPromise(Effect.forkIn(Effect.exit(asRun), scope))
    const handle = device.run(`steered-${user}`)
    while (handle.get()?.status !== "active") await new Promise((resolve) => setTimeout(resolve, 1))
    return async () => {
      const outcome = await handle.send(Steer, { text: "shorter, please" })
      check(outcome.outcome === "accepted", `a command was refused: ${JSON.stringify(outcome)}`)
    }
  }))
  return { stop, answer, steer }
}

const byHand = async (scope: Scope.Scope): Promise<Commander> => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" })
  await new Promise((resolve) => server.once("listening", resolve))
  const address = server.address()
  const clients: Array<WebSocket> = []
  const open = async () => {
    const client = new WebSocket(`ws://127.0.0.1:${typeof address === "object" ? address?.port : 0}`)
    clients.push(client)
    await new Promise((resolve) => client.once("open", resolve))
    return client
  }
  const fibers = new Map<string, Fiber.Fiber<never>>()
  const waiting = new Map<string, () => void>()
  server.on("connection", (socket) => {
    socket.on("message", (message) => {
      const { id, name, run } = JSON.parse(String(message))
      if (name === "cancel") fibers.get(run)?.interruptUnsafe()
      else if (name === "answer") waiting.get(run)?.()
      else socket.send(JSON.stringify({ id, outcome: "accepted" }))
    })
  })
  await Effect.runPromise(Scope.addFinalizer(
    scope,
    Effect.sync(() => {
      for (const client of clients) client.terminate()
      server.close()
    })
  ))
  const device = await open()
  const stop: Trip = (run) =>
    Effect.runPromise(Effect.gen(function*() {
      const stopped = yield* Deferred.make<number>()
      const work = Effect.onInterrupt(Effect.never, () => Deferred.succeed(stopped, seconds()))
      fibers.set(run, yield* Effect.forkDetach(work, { startImmediately: true }))
      const clickedAt = seconds()
      device.send(JSON.stringify({ name: "cancel", run }))
      const stoppedAt = yield* Deferred.await(stopped)
      fibers.delete(run)
      return stoppedAt - clickedAt
    }))
  const answer: Trip = (run) =>
    Effect.runPromise(Effect.gen(function*() {
      const wentOn = yield* Deferred.make<number>()
      const work = Effect.andThen(
        Effect.callback<void>((resume) => void waiting.set(run, () => resume(Effect.void))),
        Effect.suspend(() => Deferred.succeed(wentOn, seconds()))
      )
      yield* Effect.forkDetach(work, { startImmediately: true })
      const tappedAt = seconds()
      device.send(JSON.stringify({ name: "answer", run }))
      const wentOnAt = yield* Deferred.await(wentOn)
      waiting.delete(run)
      return wentOnAt - tappedAt
    }))
  const steer = await Promise.all(Array.from({ length: steering.users }, async () => {
    const client = await open()
    const pending = new Map<number, () => void>()
    let sent = 0
    client.on("message", (message) => {
      const { id } = JSON.parse(String(message))
      pending.get(id)?.()
      pending.delete(id)
    })
    return () =>
      new Promise<void>((resolve) => {
        const id = sent++
        pending.set(id, resolve)
        client.send(JSON.stringify({ id, name: "steer", data: { text: "shorter, please" } }))
      })
  }))
  return { stop, answer, steer }
}

/** As many trips one after the other, and the median of them; the 99th percentile is kept beside it. */
const tripsOf = (name: string, trip: Trip, count: number) => {
  const late: Array<number> = []
  let runs = 0
  const contestant: Contestant = async (round) => {
    const took: Array<number> = []
    for (let n = 0; n < count; n++) took.push(await trip(`run-${runs++}`))
    const sorted = took.toSorted((a, b) => a - b)
    if (round >= 0) late.push(quantile(sorted, 0.99))
    return quantile(sorted, 0.5)
  }
  const p99 = (): Figure => ({ contestant: name, unit: "seconds", value: summarize(late) })
  return { contestant, p99 }
}

/** All users at once, each the next command when one before it was taken. */
const rateOf = (steer: Commander["steer"], perUser: number): Contestant => async () => {
  const startedAt = seconds()
  await Promise.all(steer.map((send) => {
    let left = perUser
    const next = async (): Promise<void> => {
      while (left-- > 0) await send()
    }
    return Promise.all(Array.from({ length: steering.inFlight }, next))
  }))
  return perUser * steer.length / (seconds() - startedAt)
}

const compareAll = async (url: string, scope: Scope.Scope, settings: Settings) => {
  // All rounds together stay below the 1,024 commands that are remembered of a user.
  const count = settings.quick ? 100 : 150
  const rounds = settings.quick ? { rounds: 3, warmUps: 1 } : { rounds: 5, warmUps: 1 }
  const redis = RedisBroker.layer({ url })
  const memory = await ours([Broker.layerMemory()], scope)
  const spread = await ours([redis, redis], scope)
  const plain = await byHand(scope)

  const compareTrips = async (what: string, of: (commander: Commander) => Trip) => {
    const [one, two, hand] = [
      tripsOf("over memory", of(memory), count),
      tripsOf("over Redis", of(spread), count),
      tripsOf("by hand", of(plain), count)
    ]
    const figures = await interleave(
      { "over memory": one.contestant, "over Redis": two.contestant, "an endpoint by hand": hand.contestant },
      "seconds",
      rounds,
      settings
    )
    const baseline = figures["an endpoint by hand"]
    return [
      compare(`${what}, one process, p50`, figures["over memory"], baseline),
      compare(`${what}, one process, p99`, one.p99(), hand.p99()),
      compare(`${what}, two gateways over Redis, p50`, figures["over Redis"], baseline, figureAtMost(0.05)),
      compare(`${what}, two gateways over Redis, p99`, two.p99(), hand.p99())
    ]
  }
  const stops = await compareTrips("from Stop to the interrupted fiber", ({ stop }) => stop)
  const answers = await compareTrips("from an answer to the run that goes on", ({ answer }) => answer)
  const rates = await interleave(
    {
      "over memory": rateOf(memory.steer, count),
      "over Redis": rateOf(spread.steer, count),
      "an endpoint by hand": rateOf(plain.steer, count)
    },
    "per second",
    rounds,
    settings
  )
  const baseline = rates["an endpoint by hand"]
  return {
    comparisons: [
      ...stops,
      ...answers,
      compare(`commands of ${steering.users} users, taken and answered, one process`, rates["over memory"], baseline),
      compare(
        `commands of ${steering.users} users, taken and answered, two gateways over Redis`,
        rates["over Redis"],
        baseline
      )
    ],
    notes: ["all processes of a contestant are one here, with the devices"]
  }
}

export const question: Question = {
  asks: "commands of devices to their runs and back",
  answer: (settings) => withRedis(async (start, scope) => compareAll((await start()).url, scope, settings))
}
