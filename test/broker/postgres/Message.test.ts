/** What processes tell each other by NOTIFY, whose payloads Postgres takes up to 7,999 bytes of. */
import { assert, describe, it } from "@effect/vitest"
import { fromPayload, type Line, toPayloads } from "../../../src/broker/postgres/subscriptions/Message.ts"

const takes = 7_999

describe("lines told by NOTIFY", () => {
  it("come in as few payloads as Postgres takes them in, in order and none twice, also of long names that are not ASCII", () => {
    const lines = Array.from({ length: 500 }, (_, n): Line => ["e", `${"ü".repeat(60)}${n}`, "epoch-0", String(n)])
    const payloads = toPayloads("node", lines)
    const bytes = payloads.map((payload) => Buffer.byteLength(payload))
    assert.isAtMost(Math.max(...bytes), takes)
    // Of two in a row neither has room for the other's first line.
    const line = Buffer.byteLength(lines.at(-1)?.join("\t") ?? "") + 1
    assert.isAtLeast(Math.min(...bytes.slice(0, -1)), takes - 2 * line)
    assert.deepStrictEqual(payloads.map(fromPayload).flatMap(({ lines }) => lines), lines)
    assert.isTrue(payloads.every((payload) => fromPayload(payload).from === "node"))
  })

  it("leave out what is longer than that, which is found by looking, and nothing else", () => {
    const short: Line = ["r", "ada", "1"]
    const payloads = toPayloads("node", [short, ["o", "x".repeat(8_000)], short])
    assert.deepStrictEqual(payloads.map(fromPayload), [{ from: "node", lines: [short, short] }])
    assert.deepStrictEqual(toPayloads("node", []), [])
  })
})
