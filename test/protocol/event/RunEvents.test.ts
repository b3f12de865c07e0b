import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs/promises"
import * as AgentEvents from "../../../src/protocol/event/AgentEvents.ts"
import * as RunEvents from "../../../src/protocol/event/RunEvents.ts"

const source = new URL("../../../src/", import.meta.url)

describe("RunEvents", () => {
  it("names the events of the built-in catalog that belong to a run", () => {
    const ofRuns = [...AgentEvents.catalog.definitions.values()].filter(({ scope }) => scope === "run")
    assert.deepStrictEqual<ReadonlyArray<string>>(
      RunEvents.names.toSorted(),
      ofRuns.map(({ name }) => name).toSorted()
    )
  })

  it("tells which one starts a run and which ones end it", () => {
    const told = RunEvents.names.filter((name) => RunEvents.isStart(name) || RunEvents.isTerminal(name))
    assert.deepStrictEqual(told, ["agent_started", "agent_completed", "agent_error"])
    assert.isFalse(told.some((name) => RunEvents.isStart(name) && RunEvents.isTerminal(name)))
    assert.isFalse(RunEvents.isStart("custom") || RunEvents.isTerminal("auth_failed") || RunEvents.isFolded("custom"))
  })

  it("reads the reason of an ending, and takes one that it does not know as failed", () => {
    assert.deepStrictEqual(RunEvents.errorReasons.map(RunEvents.reasonOf), [...RunEvents.errorReasons])
    assert.deepStrictEqual([undefined, 1, "later", "active"].map(RunEvents.reasonOf), [
      "failed",
      "failed",
      "failed",
      "failed"
    ])
    assert.strictEqual(RunEvents.reasonOf(RunEvents.lost("gone").reason), "lost")
  })

  it("is the only place where a program reads what these names mean", async () => {
    const found: Array<string> = []
    for (const name of await fs.readdir(source, { recursive: true })) {
      if (!name.endsWith(".ts") || name === "protocol/event/RunEvents.ts") continue
      const lines = (await fs.readFile(new URL(name, source), "utf8")).split("\n")
      for (const line of lines) {
        if (!/^\s*(\/?\*|\/\/)/.test(line) && /["']agent_(started|completed|error)["']/.test(line)) {
          found.push(`${name}: ${line.trim()}`)
        }
      }
    }
    assert.deepStrictEqual(found, [])
  })
})
