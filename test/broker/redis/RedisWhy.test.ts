/** What is said of a Redis that cannot be used: why, what to do, and nothing secret. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import { Broker } from "effect-emitter"
import { RedisBroker } from "effect-emitter/redis"
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer, type Server } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createServer as createSecureServer } from "node:tls"
import { findProgram } from "../../support/program.ts"
import { newUser, numbered } from "../events.ts"
import { program, withServer } from "./redisNode.ts"

const secret = "hunter2"

/** What is logged and failed with while a server at this URL is tried. */
const saidOf = (url: string) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const logger = Logger.make(({ cause, message }) => void lines.push(`${String(message)} ${String(cause)}`))
    const error = yield* Effect.gen(function*() {
      const broker = yield* Broker.Broker
      return yield* Effect.flip(broker.append(newUser(), numbered(1)))
    }).pipe(
      Effect.provide(
        RedisBroker.layer({ url, silence: "20 seconds", lease: "1 minute" }).pipe(
          Layer.provideMerge(Logger.layer([logger]))
        )
      )
    )
    const all = [error.message, ...lines].join("\n")
    assert.notInclude(all + JSON.stringify(error), secret)
    return { message: error.message, log: lines.join("\n") }
  })

/** Listens until the scope closes. */
const portOf = (server: Server) =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    }),
    () => Effect.sync(() => server.close())
  )

const openssl = findProgram("openssl")

/** A key and a certificate for 127.0.0.1 that it signs itself. */
const selfSigned = () => {
  const directory = mkdtempSync(join(tmpdir(), "effect-emitter-tls-"))
  const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")]
  try {
    const request = [
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-subj",
      "/CN=127.0.0.1",
      "-keyout",
      key,
      "-out",
      cert
    ]
    execFileSync(openssl ?? "openssl", [...request, "-addext", "subjectAltName=IP:127.0.0.1"], {
      stdio: "ignore"
    })
    return { key: readFileSync(key), cert: readFileSync(cert) }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const both = (said: { readonly message: string; readonly log: string }, what: RegExp) => {
  assert.match(said.message, what)
  assert.match(said.log, what)
}

describe("A Redis that cannot be used", () => {
  it.live("fault 30: is said to refuse connections", () =>
    Effect.gen(function*() {
      both(yield* saidOf(`redis://u:${secret}@127.0.0.1:1/0`), /nothing listens there.*ECONNREFUSED/u)
    }), 120_000)

  it.live("fault 30: is said to have no socket", () =>
    Effect.gen(function*() {
      both(yield* saidOf(`unix://u:${secret}@/tmp/no-such-redis.sock`), /no such socket.*ENOENT/u)
    }), 120_000)

  it.live("fault 30: is said to be unknown by name", () =>
    Effect.gen(function*() {
      both(yield* saidOf(`redis://u:${secret}@no-such-host.invalid:6379`), /ENOTFOUND|EAI_AGAIN/u)
    }), 120_000)

  it.live("fault 30: is said not to speak TLS", () =>
    Effect.gen(function*() {
      const server = createServer((socket) => socket.on("error", () => {}).on("data", () => socket.write("+OK\r\n")))
      const port = yield* portOf(server)
      both(yield* saidOf(`rediss://u:${secret}@127.0.0.1:${port}`), /does not speak TLS.*redis:\/\//u)
    }).pipe(Effect.scoped), 120_000)

  describe.skipIf(openssl === undefined)("since its certificate is bad", () => {
    it.live("fault 30: is said to have signed its own", () =>
      Effect.gen(function*() {
        const server = createSecureServer(selfSigned(), (socket) => socket.on("error", () => {}))
        server.on("tlsClientError", () => {})
        const port = yield* portOf(server)
        both(
          yield* saidOf(`rediss://u:${secret}@127.0.0.1:${port}`),
          /certificate is its own: name it in NODE_EXTRA_CA_CERTS.*DEPTH_ZERO_SELF_SIGNED_CERT/u
        )
      }).pipe(Effect.scoped), 120_000)
  })

  describe.skipIf(program === undefined)("since it refuses", () => {
    const refusing = (
      name: string,
      args: ReadonlyArray<string>,
      urlOf: (port: number) => string,
      what: RegExp,
      prepare: ReadonlyArray<string> = []
    ) =>
      it.live(`fault 30: ${name}`, () =>
        withServer({ args }, (server) =>
          Effect.gen(function*() {
            if (prepare.length > 0) yield* server.send(...prepare)
            both(yield* saidOf(urlOf(server.port)), what)
          })), 120_000)

    refusing(
      "a wrong password",
      ["--requirepass", "right"],
      (port) => `redis://default:${secret}@127.0.0.1:${port}`,
      /WRONGPASS.*look at user and password/u
    )
    refusing(
      "whoever brings no password",
      ["--requirepass", secret],
      (port) => `redis://127.0.0.1:${port}`,
      /NOAUTH.*wants a password/u
    )
    refusing(
      "a database that it does not have",
      [],
      (port) => `redis://127.0.0.1:${port}/99`,
      /DB index.*no database of that number/u
    )
    refusing(
      "a user without rights",
      [],
      (port) => `redis://poor:${secret}@127.0.0.1:${port}`,
      /NOPERM.*give the user the rights/u,
      ["ACL", "SETUSER", "poor", "on", `>${secret}`, "~*", "&*", "+auth", "+ping"]
    )
    refusing(
      "a command that it does not know, whose arguments it would repeat",
      ["--rename-command", "AUTH", ""],
      (port) => `redis://u:${secret}@127.0.0.1:${port}`,
      /unknown command/u
    )
  })
})
