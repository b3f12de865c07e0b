import { assert, describe, it } from "@effect/vitest"
import { createClient } from "redis"
import { newClient } from "../../../src/broker/redis/connection/NewClient.ts"

const settings = { name: "commands", url: "redis://ann:secret@one.test:7001/3", connectTimeout: 1_000 }

describe("newClient", () => {
  it("makes clients of other settings without making their class anew", () => {
    const first = newClient(settings)
    const second = newClient({ name: "reader", url: "rediss://two.test:7002", connectTimeout: 2_000 })
    assert.strictEqual(second.constructor, first.constructor)
    // It is what `createClient` does.
    assert.notStrictEqual(createClient({ url: "redis://one.test" }).constructor, createClient({}).constructor)
  })

  it("gives each its own settings, and nothing of another's", () => {
    newClient(settings)
    const [{ options: first }, { options: second }] = [
      newClient(settings),
      newClient({ name: "reader", url: "rediss://two.test:7002", connectTimeout: 2_000 })
    ]
    const common = {
      RESP: 2 as const,
      disableOfflineQueue: true,
      disableClientInfo: true,
      commandsQueueMaxLength: 65_536
    }
    assert.deepInclude(first, { ...common, name: "commands", username: "ann", password: "secret", database: 3 })
    assert.deepStrictEqual({ ...first.socket }, {
      host: "one.test",
      port: 7001,
      tls: false,
      connectTimeout: 1_000,
      reconnectStrategy: false
    })
    assert.deepInclude(second, { ...common, name: "reader" })
    assert.deepStrictEqual({ ...second.socket }, {
      host: "two.test",
      port: 7002,
      tls: true,
      connectTimeout: 2_000,
      reconnectStrategy: false
    })
    for (const key of ["username", "password", "credentialsProvider", "database"]) assert.notProperty(second, key)
  })
})
