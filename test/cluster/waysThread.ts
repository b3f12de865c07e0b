/** The thread that has the ways of a cluster under test: see `Ways.ts`. */
import { Effect, Scope } from "effect"
import { parentPort } from "node:worker_threads"
import * as Balancer from "../../src/demo/cluster/Balancer.ts"
import { redisProxy } from "../broker/redis/redisProxy.ts"
import type { Answer, Ask, Asked } from "./Ways.ts"

const scope = Effect.runSync(Scope.make())
const proxies = new Map<number, Effect.Success<ReturnType<typeof redisProxy>>>()
let backends: ReadonlyArray<Balancer.Backend> = []

const proxyAt = (port: number) => proxies.get(port) ?? Effect.runSync(Effect.die(new Error(`no proxy at ${port}`)))

const answer = (ask: Ask): Effect.Effect<number> => {
  switch (ask._tag) {
    case "Proxy":
      return Effect.map(Scope.provide(redisProxy(ask.to), scope), (proxy) => {
        proxies.set(proxy.port, proxy)
        return proxy.port
      })
    case "Strike":
      return Effect.as(proxyAt(ask.proxy)[ask.fault], 0)
    case "Delay":
      return Effect.as(proxyAt(ask.proxy).delay(ask.ms), 0)
    case "Balancer":
      backends = ask.gateways.map((name) => ({ name, role: "gateway", port: undefined }))
      return Effect.orDie(Effect.map(Scope.provide(Balancer.make(backends, 0), scope), ({ port }) => port))
    case "Move":
      for (const backend of backends) if (backend.name === ask.gateway) backend.port = ask.to
      return Effect.succeed(0)
  }
}

const reply = ({ ask, id }: Asked) =>
  Effect.map(answer(ask), (port) => {
    const said: Answer = { id, port }
    parentPort?.postMessage(said, [])
  })

// What fails ends the thread, and is told by it.
parentPort?.on("message", (asked: Asked) => void Effect.runPromise(reply(asked)))
