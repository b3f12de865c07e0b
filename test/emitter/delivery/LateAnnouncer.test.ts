/** Whom the broker is told of whose events are late. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import * as LateAnnouncer from "../../../src/emitter/delivery/LateAnnouncer.ts"
import { UserId } from "../../../src/protocol/values/Identity.ts"

const [ada, bob, eve] = [UserId.make("ada"), UserId.make("bob"), UserId.make("eve")]

describe("LateAnnouncer", () => {
  it.effect("tells of all users, though telling of one dies, or is interrupted", () =>
    Effect.gen(function*() {
      const told: Array<UserId> = []
      const announcer = yield* LateAnnouncer.make("bench", (user) => {
        if (user === ada) throw new Error("no")
        return user === bob ? Effect.interrupt : Effect.sync(() => void told.push(user))
      })
      yield* announcer.announce([ada, bob, eve], () => true)
      assert.deepStrictEqual(told, [eve])
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))))
})
