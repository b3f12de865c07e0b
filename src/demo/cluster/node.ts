/**
 * One process of the demo, started by `main.ts`, which tells it by `DEMO_…` what to be. It says where it listens, and stops
 * when it is asked to or when its parent is gone.
 */
import { Config, Console, Effect, Layer } from "effect"
import { HttpServer } from "effect/http"
import { runProgram } from "../process/program.ts"

const settings = Config.all({
  name: Config.String("DEMO_NAME"),
  role: Config.Literals(["gateway", "worker"], "DEMO_ROLE"),
  nodes: Config.String("DEMO_NODES"),
  url: Config.String("DEMO_SERVER"),
  pid: Config.Int("DEMO_SERVER_PROCESS"),
  secret: Config.Redacted("DEMO_SECRET"),
  page: Config.String("DEMO_PAGE")
})

const ready = Layer.effectDiscard(
  Effect.flatMap(
    HttpServer.HttpServer,
    ({ address }) => Console.log(`listening on ${"port" in address ? address.port : ""}`)
  )
)

const launch = <E, R>(layer: Layer.Layer<HttpServer.HttpServer, E, R>) => Layer.launch(Layer.provide(ready, layer))

const program = Effect.gen(function*() {
  const { name, nodes, page, pid, role, secret, url } = yield* settings
  const options = { place: { name, role, nodes: nodes.split(",") }, server: { url, pid }, secret, page }
  // Each role loads what it needs.
  if (role === "gateway") {
    const gateway = yield* Effect.promise(() => import("./gateway.ts"))
    return yield* launch(gateway.layer(options))
  }
  const worker = yield* Effect.promise(() => import("./worker.ts"))
  return yield* launch(worker.layer(options))
})

process.stdin.on("end", () => process.kill(process.pid, "SIGTERM")).resume()
runProgram(program, { stopWithinMs: 5_000 })
