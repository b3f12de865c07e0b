/** What `src/broker/redis/README.md` tells operators to write works as it stands. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Stream } from "effect"
import { AgentEvents, Broker, Emitter, EmitterLayer, Identity } from "effect-emitter"
import { RedisBroker } from "effect-emitter/redis"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createClient } from "redis"
import { persist, withServer } from "../broker/redis/redisNode.ts"
import { findProgram } from "../support/program.ts"
import * as LogReader from "../../src/broker/LogReader.ts"

const text = readFileSync(new URL("../../src/broker/redis/README.md", import.meta.url), "utf8")

/** The only block in this language. */
const blockOf = (language: string): string => {
  const blocks = Array.from(
    text.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, "gmu")),
    ([, block = ""]) => block
  )
  assert.strictEqual(blocks.length, 1)
  return blocks[0] ?? ""
}

/** The settings in a file, as the server itself should tell them. */
const settings = {
  "maxmemory": String(4 * 1024 ** 3),
  "maxmemory-policy": "noeviction",
  "appendonly": "yes",
  "appendfsync": "everysec"
}

const fileWith = (content: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const directory = mkdtempSync(join(tmpdir(), "effect-emitter-conf-"))
      writeFileSync(join(directory, "redis.conf"), content)
      return join(directory, "redis.conf")
    }),
    (file) => Effect.sync(() => rmSync(join(file, ".."), { recursive: true }))
  )

const answer = Effect.gen(function*() {
  const emitter = yield* Emitter.Emitter
  for (let n = 0; n < 600; n++) yield* emitter.emit(AgentEvents.Custom.make({ name: "step", data: n }))
  yield* emitter.emitConfirmed(AgentEvents.Custom.make({ name: "last", data: null }), { within: "10 seconds" })
}).pipe(Emitter.run({ agentName: "researcher" }), Effect.provide(Emitter.layerUser({ userId: "ada" })))

describe("the operators' guide of Redis", () => {
  it.live.skipIf(findProgram("redis-server") === undefined)(
    "gives a configuration that a server takes, with just the rights that the broker needs",
    () =>
      Effect.gen(function*() {
        // Who only asks what the server was told, and what it refused.
        const file = yield* fileWith(`${blockOf("conf")}\nuser admin on nopass ~* &* +@all\n`)
        yield* withServer({ args: ["--include", file] }, ({ port }) =>
          Effect.gen(function*() {
            const admin = createClient({ url: `redis://admin:any@127.0.0.1:${port}`, RESP: 2 })
            yield* Effect.acquireRelease(
              Effect.promise(() => admin.connect()),
              () => Effect.sync(() => admin.destroy())
            )
            const send = (...command: Array<string>) => Effect.promise(() => admin.sendCommand(command))
            for (const [name, value] of Object.entries(settings)) {
              assert.deepStrictEqual<unknown>(yield* send("CONFIG", "GET", name), [name, value])
            }

            const ada = Identity.UserId.make("ada")
            yield* Effect.gen(function*() {
              const broker = yield* Broker.Broker
              const { epoch } = yield* persist(broker.head(ada))
              // A device that acknowledges all it gets, so that the program's last event is confirmed.
              yield* LogReader.read(broker, ada, Option.some({ epoch, offset: 0 })).pipe(
                Stream.runForEach((item) =>
                  item._tag === "Event" ? broker.acknowledge(ada, { epoch, offset: item.entry.offset }) : Effect.void
                ),
                Effect.forkScoped
              )
              yield* answer
              assert.strictEqual(yield* broker.readers(ada), 1)
              assert.strictEqual((yield* broker.snapshots(ada, 0)).snapshots.length, 1)
            }).pipe(
              Effect.scoped,
              Effect.provide(
                EmitterLayer().pipe(Layer.provideMerge(
                  RedisBroker.layer({ url: `redis://emitter:change-me@127.0.0.1:${port}`, deadline: "5 seconds" })
                ))
              )
            )
            assert.deepStrictEqual<unknown>(yield* send("ACL", "LOG"), [])
          }))
      }).pipe(Effect.scoped),
    120_000
  )

  it("gives every right that is asked for anywhere", () => {
    const folder = new URL("../../src/broker/redis/", import.meta.url)
    const asked = new Set(
      readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts")).flatMap((
        name
      ) =>
        Array.from(
          readFileSync(new URL(name, folder), "utf8").matchAll(/(?:redis\.p?call\('|sendCommand\(\[")([A-Z]+)/gu),
          ([, command = ""]) => command.toLowerCase()
        )
      )
    )
    assert.isAbove(asked.size, 20)
    const given = Array.from(blockOf("conf").matchAll(/ \+([a-z]+)/gu), ([, command = ""]) => command)
    for (const command of asked) assert.include(given, command)
  })

  it("gives a systemd unit of sections and settings, with what to start and for how long to wait", () => {
    const lines = blockOf("ini").split("\n").filter((line) => line !== "" && !line.startsWith("#"))
    assert.deepStrictEqual(lines.filter((line) => line.startsWith("[")), ["[Unit]", "[Service]", "[Install]"])
    for (const line of lines) assert.match(line, /^(\[[A-Z][a-z]+\]|[A-Z][A-Za-z]+=\S.*)$/u)
    assert.isTrue(lines.some((line) => line.startsWith("ExecStart=/")))
    assert.isTrue(lines.includes("TimeoutStopSec=30"))
  })

  it("names the metrics that there are", () => {
    const sources = [
      "broker/redis/Metrics.ts",
      "broker/leases/LeaseMetrics.ts",
      "emitter/observe/Metrics.ts"
    ].map((name) => readFileSync(new URL(`../../src/${name}`, import.meta.url), "utf8")).join("\n")
    const names = new Set(Array.from(text.matchAll(/emitter_[a-z_]+[a-z]/gu), ([name]) => name))
    assert.isAbove(names.size, 6)
    for (const name of names) assert.include(sources, name === "emitter_redis" ? "emitter_redis_" : `"${name}"`)
  })
})
