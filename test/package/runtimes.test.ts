/**
 * The client as it is published, in every runtime that it is for: it shows a run to its end, across a connection that was cut,
 * and the process ends by itself. In Chromium `test/e2e` runs it. And the server where it runs besides Node 24.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { AgentEvents, Broker, Emitter, EmitterLayer } from "effect-emitter"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { proxyTo } from "../client/Proxy.ts"
import { serve, token } from "../gateway/server.ts"
import { findExamples, isProgram } from "../docs/examples.ts"
import { findRuntime, type Runtime } from "../support/runtime.ts"
import { install, type Installed } from "./install.ts"
import { manifest, root } from "./pack.ts"

const runtimes: ReadonlyArray<readonly [name: string, runtime: Runtime | undefined]> = [
  ["Node 24", { program: process.execPath, args: [] }],
  ["Node 22", findRuntime("Node 22")],
  ["Bun", findRuntime("Bun")],
  ["Deno", findRuntime("Deno")]
]

/** A program of somebody who installed the package: it writes each event, and at the end what it made of the run. */
const program = `
import { connect } from "${manifest.name}/client"
const [url, token, transport] = process.argv.slice(2)
const offsets = []
const textOf = (run) => run?.parts.filter(({ type }) => type === "text").map(({ text }) => text).join("")
const connection = connect({
  url,
  token: token === "" ? undefined : token,
  transports: [transport],
  start: "earliest",
  backoff: { baseMs: 1, capMs: 20 },
  onEvent: ({ offset, type }) => {
    offsets.push(offset)
    console.log(type)
    if (type !== "agent_completed") return
    const [run] = connection.runs.getSnapshot()
    console.log(JSON.stringify({ offsets, status: run?.status, text: textOf(run) }))
    setTimeout(() => connection.close(), 0)
  }
})
console.log("started")
`

let installed: Installed
beforeAll(async () => {
  installed = await install()
  await writeFile(join(installed.app, "program.js"), program)
}, 300_000)
afterAll(() => installed?.remove())

/** A process that ends with its scope, at the latest. */
const start = ({ args, program }: Runtime, ...given: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child: ChildProcess = spawn(program, [...args, ...given], {
        cwd: installed.app,
        stdio: ["ignore", "pipe", "pipe"]
      })
      let said = ""
      let waiting: Array<() => void> = []
      const hear = (data: unknown) => {
        said += String(data)
        const all = waiting
        waiting = []
        for (const look of all) look()
      }
      child.stdout?.on("data", hear)
      child.stderr?.on("data", hear)
      const ended = once(child, "close").then(([code]): number | null => {
        hear("")
        return code
      })
      const wrote = (text: string) =>
        new Promise<void>((resolve, reject) => {
          const look = () => {
            if (said.includes(text)) resolve()
            else if (child.exitCode !== null) reject(new Error(`it ended without "${text}":\n${said}`))
            else waiting.push(look)
          }
          look()
        })
      return {
        child,
        ended: Effect.promise(() => ended),
        said: () => said,
        wrote: (text: string) => Effect.promise(() => wrote(text))
      }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

for (const [name, runtime] of runtimes) {
  describe.skipIf(runtime === undefined)(`the client in ${name}`, () => {
    for (const transport of ["websocket", "sse"] as const) {
      it.live(`shows a run to its end over ${transport}, with what came while it was cut off`, () =>
        Effect.gen(function*() {
          const served = yield* serve({ reconnectSpread: "1 millis" })
          const proxy = yield* proxyTo(() => served.port)
          const cut = yield* Deferred.make<void>()
          const address = `${transport === "sse" ? "http" : "ws"}://127.0.0.1:${proxy.port}/events`
          const client = yield* start(runtime ?? assert.fail(), "program.js", address, yield* token("ann"), transport)
          yield* client.wrote("started")
          const say = (delta: string) => Emitter.emit(AgentEvents.TextDelta.make({ messageId: "m1", delta }))
          const agent = Effect.gen(function*() {
            yield* say("one ")
            yield* Emitter.emit(AgentEvents.AgentThinking.make({ text: "on" }))
            yield* Deferred.await(cut)
            yield* say("two ")
            yield* say("three")
          }).pipe(
            Emitter.run({ agentName: "counter" }),
            Effect.provide(
              Emitter.layerUser({ userId: "ann", runId: "r1" }).pipe(
                Layer.provide(EmitterLayer()),
                Layer.provide(Layer.succeed(Broker.Broker, served.broker))
              )
            )
          )
          const running = yield* Effect.forkChild(agent)
          yield* client.wrote("agent_thinking")
          proxy.upgrades("down")
          proxy.cut()
          yield* Deferred.succeed(cut, undefined)
          yield* Fiber.join(running)
          proxy.upgrades("pass")
          assert.strictEqual(yield* client.ended, 0, client.said())
          // What came after the cut came over another connection.
          assert.isAtLeast(proxy.stats().total, 2)
          const told: unknown = JSON.parse(client.said().trimEnd().split("\n").at(-1) ?? "")
          assert.deepStrictEqual(told, {
            offsets: [1, 2, 3, 4, 5],
            status: "completed",
            text: "one two three"
          })
        }).pipe(Effect.scoped))
    }
  })
}

describe.skipIf(findRuntime("Bun") === undefined)("the server on Bun", () => {
  it.live("runs the first program of the README: its page, its client, and a run over WebSocket", () =>
    Effect.gen(function*() {
      const [{ code = "" } = {}] = findExamples(root).filter((example) =>
        isProgram(example) && example.place.startsWith("README.md")
      )
      yield* Effect.promise(() => writeFile(join(installed.app, "server.ts"), code.replace("port: 3000", "port: 0")))
      const server = yield* start(findRuntime("Bun") ?? assert.fail(), "server.ts")
      yield* server.wrote("Listening on")
      const [url = ""] = /http:\/\/127\.0\.0\.1:\d+/u.exec(server.said()) ?? []
      assert.include(yield* Effect.promise(async () => (await fetch(url)).text()), "<title>A run</title>")
      const node = { program: process.execPath, args: [] }
      const client = yield* start(node, "program.js", `${url.replace("http", "ws")}/events`, "", "websocket")
      yield* client.wrote("started")
      yield* Effect.promise(() => fetch(`${url}/ask`, { method: "POST" }))
      assert.strictEqual(yield* client.ended, 0, client.said())
      assert.include(client.said(), "\"text\":\"Reload this page while I write: all of it is there, and goes on. \"")
    }).pipe(Effect.scoped))
})
