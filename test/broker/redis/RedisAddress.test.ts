/** Which addresses of Redis are taken, and what is said of those that are not. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { RedisBroker } from "effect-emitter/redis"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { eventually, newUser, numbered } from "../events.ts"
import { program, startNode, withServer } from "./redisNode.ts"

const refusals: ReadonlyArray<readonly [url: string, what: RegExp]> = [
  ["redis://host:6379?db=2", /must not contain \?: the database is the path, such as \/2/u],
  ["redis://host:6379/?db=2", /must not contain \?/u],
  ["redis://user:hunter2#x@host:6379/0", /must be redis:\/\/host|must not contain #/u],
  ["redis://user:hunter2%zz@host:6379/0", /write %25/u],
  ["redis://us%er:hunter2@host:6379/0", /write %25/u],
  ["redis://:hunter2 @host", /must not contain spaces/u],
  ["redis://:hunter2@host/zero", /whole number/u],
  ["redis://:hunter2@host/1.5", /whole number/u],
  ["redis://:hunter2@host/-1", /whole number/u],
  ["http://:hunter2@host", /must be redis:\/\//u],
  ["redis:/user:hunter2@host", /must be redis:\/\//u],
  ["unix://:hunter2@/tmp/redis.sock?database=2", /db=<number>/u],
  ["unix://:hunter2@/tmp/redis.sock?db=two", /whole number/u],
  ["unix://:hunter2@tmp/redis.sock", /must be redis:\/\//u],
  ["unix:///tmp/100%.sock", /write %25/u]
]

// On a busy machine the first connection may take its time.
const patient = { silence: "20 seconds", lease: "1 minute" } as const

const build = (url: string) => Effect.exit(Effect.scoped(Layer.build(RedisBroker.layer({ url }))))

describe("The address of a Redis", () => {
  for (const [url, what] of refusals) {
    it.live(`fault 30: that would be misread is refused at once, without its password: ${url}`, () =>
      Effect.gen(function*() {
        const exit = yield* build(url)
        const said = String(exit)
        assert.match(said, what)
        assert.match(said, /url/u)
        assert.notInclude(said, "hunter2")
      }))
  }

  describe.skipIf(program === undefined)("that can be used", () => {
    it.live(
      "fault 30: may be a unix socket, with a database",
      () =>
        Effect.gen(function*() {
          const directory = mkdtempSync(join(tmpdir(), "effect-emitter-socket-"))
          yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(directory, { recursive: true, force: true })))
          const path = join(directory, "re dis.sock")
          yield* withServer({ args: ["--unixsocket", path] }, ({ url }) =>
            Effect.gen(function*() {
              const overSocket = yield* startNode(`unix://${path.replace(" ", "%20")}?db=3`, patient)
              const overTcp = yield* startNode(`${url}/3`, patient)
              const other = yield* startNode(url, patient)
              const user = newUser()
              let woken = 0
              yield* overTcp.subscribe(user, () => void woken++)
              const before = woken
              yield* overSocket.append(user, numbered(1, 3))
              assert.strictEqual((yield* overTcp.head(user)).offset, 3)
              assert.strictEqual((yield* other.head(user)).offset, 0)
              yield* eventually(Effect.sync(() => woken), (n) => n > before, "a wake-up")
            }))
        }).pipe(Effect.scoped),
      120_000
    )

    it.live(
      "fault 30: may have what is special escaped in its password",
      () =>
        withServer({ args: ["--requirepass", "100%:@/#? é"] }, ({ port }) =>
          Effect.gen(function*() {
            const password = encodeURIComponent("100%:@/#? é")
            const node = yield* startNode(`redis://:${password}@127.0.0.1:${port}/1`, patient)
            assert.strictEqual((yield* node.append(newUser(), numbered(1))).offset, 1)
          }), 35),
      120_000
    )
  })
})
