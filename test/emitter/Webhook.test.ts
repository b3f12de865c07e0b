import { assert, describe, it } from "@effect/vitest"
import { NodeHttpClient } from "@effect/platform-node"
import { Cause, Effect, type Layer, Redacted } from "effect"
import { FetchHttpClient, type HttpClient } from "effect/http"
import { createHmac } from "node:crypto"
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { ChannelError, ChannelRefused, ChannelTimeout } from "../../src/emitter/FallbackChannel.ts"
import * as Webhook from "../../src/emitter/Webhook.ts"
import { DeliveryBench } from "./support/DeliveryBench.ts"
import { envelopes, userId } from "./support/envelopes.ts"

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
    request.on("data", (chunk) => body += chunk)
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
        const error = yield* Effect.flip(channel.deliver(ada, envelopes("ada", 1))).pipe(Effect.timeout("5 seconds"))
        const reason = new ChannelTimeout({ withinMs: 150 })
        assert.deepStrictEqual(error, new ChannelError({ channel: "webhook", reason }))
      }).pipe(Effect.provide(client)))

    it.live("takes the status for the answer, though its body never ends", () =>
      Effect.gen(function*() {
        const { received, url } = yield* receiver((response: ServerResponse) =>
          void response.writeHead(200).write("and so on")
        )
        const channel = yield* Webhook.make({ url, secret, deadline: "500 millis" })
        yield* channel.deliver(ada, envelopes("ada", 1)).pipe(Effect.timeout("5 seconds"))
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
            ["broker", "BrokerError: The broker did not take \"append\" (after 1 ms)"],
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
    const expected = createHmac("sha256", "plain").update("id.1.body").digest("base64")
    assert.strictEqual(Webhook.sign(Redacted.make("plain"), "id", 1, "body"), `v1,${expected}`)
  })
})
