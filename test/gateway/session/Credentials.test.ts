import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Logger, Option, Redacted } from "effect"
import { Authenticator } from "effect-emitter/gateway"
import { HttpServerRequest } from "effect/http"
import { TestClock } from "effect/testing"
import * as Credentials from "../../../src/gateway/session/Credentials.ts"
import { user } from "../server.ts"

const request = HttpServerRequest.fromWeb(new Request("http://app.example/events"))

/** Credentials over an authenticator that gives this, for a token and for a request. */
const over = (answer: Effect.Effect<Authenticator.Principal, Authenticator.AuthenticationError>) =>
  Effect.gen(function*() {
    const { recognize, verify } = Credentials.make(
      { verify: () => answer, recognize: () => Effect.asSome(answer) },
      { clock: yield* Clock.Clock, claims: false, timeout: Duration.seconds(5) }
    )
    return [verify(Redacted.make("shown")), Effect.map(recognize(request), Option.getOrThrow)] as const
  })

const issued = (issuedAt: number | undefined) =>
  over(Effect.succeed({ userId: user("ada"), expiresAt: undefined, issuedAt }))

/** What is logged at `Info` and above, one line each. */
const logged = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      lines.push(`${logLevel}: ${String(Array.isArray(message) ? message[0] : message)}`)
    })
    return Effect.as(Effect.provide(effect, Logger.layer([logger])), lines)
  })

describe("Credentials", () => {
  it.effect("fault 10: that do not say when they were issued are older than any revocation, of requests as of tokens", () =>
    Effect.gen(function*() {
      for (const check of yield* issued(undefined)) assert.strictEqual((yield* check).issuedAt, 0)
    }))

  it.effect("fault 10: that were issued at a time to come are not taken, of requests as of tokens", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      for (const check of yield* issued(3_600_000 + 60_001)) {
        const error = yield* Effect.flip(check)
        assert.deepStrictEqual([error._tag, "reason" in error ? error.reason : ""], ["Unauthenticated", "notYet"])
      }
      for (const check of yield* issued(3_600_000 + 60_000)) assert.strictEqual((yield* check).issuedAt, 3_660_000)
    }))

  it.effect("of a request that have run out are not taken; a token's own check says for how long it is", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const until = (expiresAt: number) => over(Effect.succeed({ userId: user("ada"), expiresAt, issuedAt: 1 }))
      const [ofToken, ofRequest] = yield* until(3_600_000)
      assert.strictEqual((yield* ofToken).expiresAt, 3_600_000)
      assert.deepStrictEqual(yield* Effect.flip(ofRequest), new Authenticator.Unauthenticated({ reason: "expired" }))
      for (const check of yield* until(3_600_001)) assert.strictEqual((yield* check).expiresAt, 3_600_001)
    }))

  it.effect("fault 17: that are not checked in time may be accepted later, of requests as of tokens", () =>
    Effect.gen(function*() {
      for (const check of yield* over(Effect.never)) {
        const error = yield* Effect.forkChild(Effect.flip(check))
        yield* TestClock.adjust("4999 millis")
        assert.isUndefined(error.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(error.pollUnsafe()?._tag, "Success")
      }
    }))

  it.effect("fault 31: tell the operator what was refused and why, each kind once a minute with how often it came", () =>
    Effect.gen(function*() {
      const detail = `it says "https://id.example/", accepted is "tests"`
      const [issuer] = yield* over(Effect.fail(new Authenticator.Unauthenticated({ reason: "issuer", detail })))
      const times = (count: number) => Effect.replicateEffect(Effect.flip(issuer), count)
      const line = `Warn: Credentials were refused: the token's issuer is not accepted: ${detail}`
      assert.deepStrictEqual(yield* logged(times(5)), [line])
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(yield* logged(times(1)), [])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* logged(times(1)), [`${line} (and 5 more like it since the last word)`])
    }))

  it.effect("fault 31: tell the operator at once of every other kind, and of nothing that strangers are refused for all day", () =>
    Effect.gen(function*() {
      let reason: "key" | "user" | "expired" | "missing" = "key"
      const [check] = yield* over(Effect.suspend(() => Effect.fail(new Authenticator.Unauthenticated({ reason }))))
      const lines = yield* logged(Effect.forEach(["key", "user", "expired", "missing"] as const, (next) => {
        reason = next
        return Effect.flip(check)
      }))
      assert.deepStrictEqual(lines, [
        "Warn: Credentials were refused: the token's key is not known",
        "Warn: Credentials were refused: the token names no valid user"
      ])
    }))
})
