/**
 * Runs the demo on several processes: `npm run start:cluster`. It starts a Redis of its own (a Postgres with `-- --broker
 * postgres`), two gateways and a worker, and a load balancer in front of them. A process that dies is started anew; Ctrl-C
 * stops all.
 */
import { Console, Deferred, Effect, Path, Redacted } from "effect"
import { buildOwn } from "../serving/build.ts"
import { PortUnavailable } from "../settings/DemoConfig.ts"
import * as DemoConfig from "../settings/DemoConfig.ts"
import { runProgram } from "../process/program.ts"
import * as Secret from "../users/Secret.ts"
import * as Balancer from "./Balancer.ts"
import * as Options from "./Options.ts"
import * as PrivateServer from "./PrivateServer.ts"
import { type NodeFailed, supervise } from "./Supervised.ts"

const backends: ReadonlyArray<Balancer.Backend> = [
  { name: "gateway-1", role: "gateway", port: undefined },
  { name: "gateway-2", role: "gateway", port: undefined },
  { name: "worker", role: "worker", port: undefined }
]

const program = Effect.gen(function*() {
  const broker = yield* Options.read
  if (broker === undefined) return yield* Console.log(Options.help)
  const wanted = yield* DemoConfig.port
  const pace = yield* DemoConfig.pace
  const balancer = yield* Balancer.make(backends, wanted).pipe(
    Effect.mapError(({ code }) => new PortUnavailable({ port: wanted, code: code ?? "unknown" }))
  )
  const server = yield* PrivateServer.make(broker)
  const page = (yield* Path.Path).join(server.folder, "page")
  yield* buildOwn(page)
  const environment = {
    DEMO_NODES: backends.map(({ name }) => name).join(","),
    DEMO_SERVER: server.url,
    DEMO_SERVER_PROCESS: String(server.pid),
    DEMO_SECRET: Redacted.value(yield* Secret.make),
    DEMO_PAGE: page,
    DEMO_PACE: String(pace)
  }

  const nodes = yield* Effect.forEach(
    backends,
    (backend) => Effect.map(Deferred.make<number, NodeFailed>(), (up) => ({ backend, up }))
  )
  yield* Effect.forEach(nodes, ({ backend, up }) => supervise(backend, environment, up), {
    concurrency: "unbounded",
    discard: true
  }).pipe(Effect.forkScoped)
  const lines = yield* Effect.forEach(
    nodes,
    ({ backend, up }) => Effect.map(Deferred.await(up), (id) => `  ${backend.name.padEnd(9)}  process ${id}`)
  )
  yield* Console.log(
    [
      `effect-emitter demo on several processes: http://127.0.0.1:${balancer.port}`,
      ...lines,
      `  ${server.name.padEnd(9)}  port ${server.port}`,
      "Press Ctrl-C to stop."
    ].join("\n")
  )
  return yield* server.ended
}).pipe(Effect.scoped)

// Above what a process may take to stop before it is killed.
runProgram(program, { stopWithinMs: 12_000 })
