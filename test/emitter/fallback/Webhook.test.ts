import { assert, describe, it } from "@effect/vitest"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Cause, Effect, type Layer, Redacted } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { createHmac } from "node:crypto"
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { ChannelError, ChannelRefused, ChannelTimeout } from "../../../src/emitter/fallback/FallbackChannel.ts"
import { ConfigError } from "effect-emitter"
import * as Webhook from "../../../src/emitter/fallback/Webhook.ts"
import { DeliveryBench } from "../support/DeliveryBench.ts"
import { envelopes, userId } from "../support/envelopes.ts"
import { patience } from "../../support/patience.ts"

const ada = userId("ada")
const key = Buffer.from("0123456789abcdef0123456789abcdef")
const secret = Redacted.make(`whsec_${key.toString("base64")}`)

interface Received {
  readonly method: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A server on the loopback that answers the n-th request as `answers` says, and then like the last. */
const receiver = Effect.fnUntraced(function*(...answers: ReadonlyArray<number | ((response: ServerResponse) => void)>) {
  const received: Array<Received> = []
  const server = createServer((request, response) => {
    let body = ""
    request.setEncoding("utf8").on("data", (chunk: string) => body += chunk)
    request.on("end", () => {
      received.push({ method: request.method, headers: request.headers, body })
      const answer = answers[Math.min(received.length, answers.length) - 1] ?? 200
      if (typeof answer === "function") answer(response)
      else response.writeHead(answer).end("thanks")
    })
  })
  yield* Effect.acquireRelease(
    Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
    () =>
      Effect.promise(() =>
        new Promise((resolve) => {
          server.close(resolve)
          server.closeAllConnections()
        })
      )
  )
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/hook`, received }
})

const quick = { attempts: 2, base: "5 millis", cap: "10 millis" } as const

const clients: Record<string, Layer.Layer<HttpClient.HttpClient>> = {
  fetch: FetchHttpClient.layer,
  undici: NodeHttpClient.layerUndici
}

for (const [name, client] of Object.entries(clients)) {
  describe(`Webhook, over ${name}`, () => {
    it.live("posts the events as devices would get them, with a signature that a receiver can check", () =>
      Effect.gen(function*() {
        const { received, url } = yield* receiver(204)
        const channel = yield* Webhook.make({ url, secret })
        const before = Math.floor(Date.now() / 1_000)
        yield* channel.deliver(ada, envelopes("ada", 1, 2))
        const [request] = received
        if (request === undefined) return assert.fail("nothing came")
        assert.strictEqual(request.method, "POST")
        assert.strictEqual(request.headers["content-type"], "application/json")
        assert.deepStrictEqual(JSON.parse(request.body), {
          type: "events",
          user: "ada",
          events: [
            { id: "ada-1", type: "custom", at: 1, data: { name: "n", data: "" } },
            { id: "ada-2", type: "custom", at: 2, data: { name: "n", data: "" } }
          ]
        })
        const { "webhook-id": id, "webhook-signature": signature, "webhook-timestamp": timestamp } = request.headers
        assert.isTrue(Number(timestamp) >= before && Number(timestamp) <= before + 10)
        const expected = createHmac("sha256", key).update(`${String(id)}.${String(timestamp)}.${request.body}`)
        assert.strictEqual(signature, `v1,${expected.digest("base64")}`)
        assert.notInclude(JSON.stringify(request), key.toString("base64"))
      }).pipe(Effect.provide(client)))

    it.live("tries again after 503 and 429, as the same webhook", () =>
      Effect.gen(function*() {
        const { received, url } = yield* receiver(503, 429, 200)
        const channel = yield* Webhook.make({ url, secret, retry: quick })
        yield* channel.deliver(ada, envelopes("ada", 1))
        assert.strictEqual(received.length, 3)
        assert.strictEqual(new Set(received.map(({ headers }) => headers["webhook-id"])).size, 1)
      }).pipe(Effect.provide(client)))

    for (const status of [301, 302, 303, 307, 308]) {
      it.live(`fault 7: takes the redirect ${status} for a refusal, and sends nothing to where it leads`, () =>
        Effect.gen(function*() {
          const elsewhere = yield* receiver(200)
          const { received, url } = yield* receiver((response: ServerResponse) =>
            void response.writeHead(status, { location: `${elsewhere.url}login?secret=x` }).end()
          )
          const channel = yield* Webhook.make({ url, secret, retry: quick })
          const { reason } = yield* Effect.flip(channel.deliver(ada, envelopes("ada", 1)))
          assert.deepInclude(reason, { _tag: "ChannelRefused", status })
          assert.include(reason.message, `a redirect to ${new URL(elsewhere.url).origin} (HTTP status ${status})`)
          assert.notInclude(reason.message, "secret=x")
          assert.deepStrictEqual([received.length, elsewhere.received.length], [1, 0])
        }).pipe(Effect.provide(client)))
    }

    it.live("fault 7: does not count what a client has delivered elsewhere by following a redirect itself", () =>
      Effect.gen(function*() {
        const elsewhere = yield* receiver(200)
        const { url } = yield* receiver((response: ServerResponse) =>
          void response.writeHead(307, { location: elsewhere.url }).end()
        )
        const following = HttpClient.followRedirects(yield* HttpClient.HttpClient)
        const channel = yield* Webhook.make({ url, secret, retry: quick }).pipe(
          Effect.provideService(HttpClient.HttpClient, following)
        )
        const { reason } = yield* Effect.flip(channel.deliver(ada, envelopes("ada", 1)))
        assert.include(reason.message, "followed a redirect")
      }).pipe(Effect.provide(client)))

    it.live("fault 12: signs with each of several secrets, so that one can replace another", () =>
      Effect.gen(function*() {
        const { received, url } = yield* receiver(200)
        const next = Redacted.make(`whsec_${Buffer.alloc(32, 7).toString("base64")}`)
        const channel = yield* Webhook.make({ url, secret: [secret, next] })
        yield* channel.deliver(ada, envelopes("ada", 1))
        const [{ body, headers } = assert.fail("nothing came")] = received
        const alone = (one: Redacted.Redacted) =>
          Webhook.sign(one, String(headers["webhook-id"]), Number(headers["webhook-timestamp"]), body)
        assert.strictEqual(headers["webhook-signature"], `${alone(secret)} ${alone(next)}`)
      }).pipe(Effect.provide(client)))

    it.live("gives up after its retries, with the last status", () =>
      Effect.gen(function*() {
        const { received, url } = yield* receiver(500)
        const channel = yield* Webhook.make({ url, secret, retry: quick })
        assert.deepStrictEqual(
          yield* Effect.flip(channel.deliver(ada, envelopes("ada", 1))),
          new ChannelError({
            channel: "webhook",
            reason: new ChannelRefused({ detail: "HTTP status 500", status: 500 })
          })
        )
        assert.strictEqual(received.length, 3)
      }).pipe(Effect.provide(client)))

    for (const status of [400, 401, 404, 410]) {
      it.live(`takes ${status} for a refusal that trying again does not change`, () =>
        Effect.gen(function*() {
          const { received, url } = yield* receiver(status)
          const channel = yield* Webhook.make({ url, secret, retry: quick })
          const error = yield* Effect.flip(channel.deliver(ada, envelopes("ada", 1)))
          assert.deepInclude(error.reason, { _tag: "ChannelRefused", status })
          assert.strictEqual(received.length, 1)
        }).pipe(Effect.provide(client)))
    }

    it.live("fails typed when nobody listens", () =>
      Effect.gen(function*() {
        const channel = yield* Webhook.make({ url: "http://127.0.0.1:9/", secret, retry: quick })
        const error = yield* Effect.flip(channel.deliver(ada, envelopes("ada", 1)))
        assert.deepInclude(error.reason, { _tag: "ChannelUnavailable" })
      }).pipe(Effect.provide(client)))

    it.live("does not wait for an answer longer than its deadline", () =>
      Effect.gen(function*() {
        const { url } = yield* receiver(() => {})
        const channel = yield* Webhook.make({ url, secret, deadline: "150 millis" })
        const error = yield* Effect.flip(channel.deliver(ada, envelopes("ada", 1))).pipe(
          Effect.timeout(5_000 * patience)
        )
        const reason = new ChannelTimeout({ withinMs: 150 })
        assert.deepStrictEqual(error, new ChannelError({ channel: "webhook", reason }))
      }).pipe(Effect.provide(client)))

    it.live("takes the status for the answer, though its body never ends", () =>
      Effect.gen(function*() {
        const { received, url } = yield* receiver((response: ServerResponse) =>
          void response.writeHead(200).write("and so on")
        )
        const channel = yield* Webhook.make({ url, secret, deadline: "500 millis" })
        yield* channel.deliver(ada, envelopes("ada", 1)).pipe(Effect.timeout(5_000 * patience))
        assert.strictEqual(received.length, 1)
      }).pipe(Effect.provide(client)))

    it.live("takes what the broker does not", () =>
      Effect.gen(function*() {
        const { received, url } = yield* receiver(200)
        const bench = yield* DeliveryBench.make({ channels: [yield* Webhook.make({ url, secret, name: "hook" })] })
        bench.broker.behaviour = "fail"
        assert.deepStrictEqual(yield* bench.deliver(ada, envelopes("ada", 1)), { _tag: "HandedOver", channel: "hook" })
        assert.strictEqual(received.length, 1)
      }).pipe(Effect.provide(client)))

    it.live("leaves a dead letter with its reason, when the receiver does not take it either", () =>
      Effect.gen(function*() {
        const { url } = yield* receiver(400)
        const bench = yield* DeliveryBench.make({ channels: [yield* Webhook.make({ url, secret })] })
        bench.broker.behaviour = "fail"
        yield* bench.deliver(ada, envelopes("ada", 1))
        const [letter] = yield* bench.delivery.deadLetters.list()
        assert.deepStrictEqual(
          letter?.reasons.map(({ cause, outlet }) => [outlet, String(Cause.squash(cause))]),
          [
            ["broker", "BrokerError: The broker did not take \"append\" (after 1 ms): down"],
            [
              "webhook",
              "ChannelError: The fallback channel \"webhook\" did not take the events: it refused: HTTP status 400"
            ]
          ]
        )
        assert.notInclude(JSON.stringify(letter), key.toString("base64"))
      }).pipe(Effect.provide(client)))
  })
}

describe("Webhook.sign", () => {
  it("agrees with the example of the Standard Webhooks specification", () => {
    const signature = Webhook.sign(
      Redacted.make("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
      "msg_p5jXN8AQM9LWM0D4loKWxJek",
      1_614_265_330,
      `{"test": 2432232314}`
    )
    assert.strictEqual(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
  })

  it("takes any other secret as it is", () => {
    const plain = "a secret of more than 24 bytes"
    const expected = createHmac("sha256", plain).update("id.1.body").digest("base64")
    assert.strictEqual(Webhook.sign(Redacted.make(plain), "id", 1, "body"), `v1,${expected}`)
  })

  it("fault 12: throws for a secret that `make` refuses", () => {
    assert.throws(() => Webhook.sign(Redacted.make("whsec_"), "id", 1, "body"), ConfigError.ConfigError)
  })
})

describe("Webhook.make", () => {
  const issuesOf = (options: Pick<Webhook.Options, "secret"> & { readonly url?: string }) =>
    Webhook.make({ url: "https://example.com/hook", ...options }).pipe(
      Effect.flip,
      Effect.map(({ issues }) => issues.map(({ message, path }) => [path, message.split(";")[0]])),
      Effect.provide(FetchHttpClient.layer)
    )
  const tooShort = "its key has 18 bytes, and 24 are the least"
  const noBase64 = "what follows whsec_ is no base64"
  const bad: ReadonlyArray<readonly [string, string]> = [
    ["", "it is empty"],
    ["   ", "it is empty"],
    ["whsec_", "its key has 0 bytes, and 24 are the least"],
    ["whsec_!!!!", noBase64],
    [`whsec_${"A".repeat(40)}-_`, noBase64],
    [`whsec_${"A".repeat(41)}`, noBase64],
    [`whsec_${"A".repeat(40)}\n`, "white space stands around it"],
    [`whsec_${Buffer.alloc(18, 1).toString("base64")}`, tooShort],
    ["eighteen bytes bad", tooShort]
  ]

  it.effect("fault 12: refuses a secret that is empty, too short or no base64, with what to do, and does not tell it", () =>
    Effect.gen(function*() {
      for (const [text, problem] of bad) {
        assert.deepStrictEqual(yield* issuesOf({ secret: Redacted.make(text) }), [["secret", problem]], text)
      }
      const secrets = [secret, Redacted.make("whsec_hunter2"), Redacted.make("hunter2")] as const
      const error = yield* Webhook.make({ url: "https://example.com", secret: secrets }).pipe(
        Effect.flip,
        Effect.provide(FetchHttpClient.layer)
      )
      assert.deepStrictEqual(error.issues.map(({ path }) => path), ["secret.1", "secret.2"])
      assert.include(error.message, "openssl rand -base64 32")
      assert.notInclude(error.message, "hunter2")
    }))

  it.effect("fault 12: refuses a url that is none, together with the secret, and does not tell it", () =>
    Effect.gen(function*() {
      for (const url of ["hook", "ftp://example.com/?token=x", ""]) {
        assert.deepStrictEqual(yield* issuesOf({ url, secret: Redacted.make("") }), [
          ["url", "it is no http or https URL"],
          ["secret", "it is empty"]
        ])
      }
    }))
})
