import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as fs from "node:fs"
import * as AgentEvents from "../../src/protocol/event/AgentEvents.ts"
import { closeCodes } from "../../src/protocol/wire/CloseCode.ts"
import * as Frame from "../../src/protocol/wire/Frame.ts"
import { maxIdLength, placeholders } from "../../src/protocol/values/IdRules.ts"
import * as Position from "../../src/protocol/values/Position.ts"
import {
  maxJson,
  maxParts,
  maxText,
  maxTotalJson,
  maxTotalText,
  RunSnapshot
} from "../../src/protocol/run/RunSnapshot.ts"
import { clientFrames, serverFrames } from "./frames.ts"
import { golden } from "./golden.ts"

const text = fs.readFileSync(new URL("../../src/protocol/README.md", import.meta.url), "utf8")

const blocks = (language: string) =>
  Array.from(text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms")), ([, body = ""]) => body)

/** The cells of the first table with this header, below a heading. */
const table = (header: string, heading = "# ") => {
  const at = text.indexOf(`\n${header}\n`, text.indexOf(heading))
  assert.isAtLeast(at, 0, `no table ${header}`)
  const [, , ...lines] = text.slice(at + 1).split("\n")
  const end = lines.findIndex((line) => !line.startsWith("|"))
  return lines.slice(0, end).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()))
}

const marked = (cell: string | undefined) => Array.from((cell ?? "").matchAll(/`([^`]+)`/g), ([, name = ""]) => name)

/** The fields of a struct, or of the structs of a union: required are those that each of them requires. */
const fieldsOf = (schema: Schema.Top): ReadonlyArray<string> => {
  const json = Schema.toJsonSchemaDocument(schema).schema
  const structs: ReadonlyArray<Record<string, unknown>> = Array.isArray(json["anyOf"]) ? json["anyOf"] : [json]
  const isRequired = (key: string) => structs.every(({ required }) => Array.isArray(required) && required.includes(key))
  const keys = new Set(structs.flatMap(({ properties }) => Object.keys(Object(properties))))
  return [...keys].map((key) => isRequired(key) ? key : `${key}?`)
}

const frames = {
  client: { hello: Frame.Hello, ack: Frame.Ack, pong: Frame.Pong, token: Frame.Token, command: Frame.Command },
  server: {
    welcome: Frame.Welcome,
    events: Frame.Events,
    gap: Frame.Gap,
    snapshot: Frame.Snapshot,
    status: Frame.Status,
    ping: Frame.Ping,
    goodbye: Frame.Goodbye,
    error: Frame.ErrorFrame,
    command: Frame.CommandOutcome
  }
}

describe("the protocol document", () => {
  const examples = blocks("json")

  it("shows every type of frame", () => {
    const types = [...Object.values(clientFrames), ...Object.values(serverFrames)].map(({ type }) => type)
    const shown = examples.map((example): { readonly type: string } => JSON.parse(example)).map(({ type }) => type)
    assert.deepStrictEqual([...new Set(shown)].toSorted(), [...new Set(types)].toSorted())
  })

  const goldenTexts = new Set([
    ...[...Object.keys(clientFrames), ...Object.keys(serverFrames)].map((name) => golden("frame", name)),
    golden("http", "ack"),
    golden("http", "pong")
  ])
  for (const example of examples) {
    it(`shows a frame as it travels: ${example.slice(0, 60).trim()}…`, () => {
      const fromClient = Result.isSuccess(Frame.decodeClient(example))
      const fromServer = Result.isSuccess(Frame.decodeServer(example))
      assert.notStrictEqual(fromClient, fromServer, "the example is a frame of one side")
      assert.isTrue(goldenTexts.has(example.trimEnd()), "the example is none of the golden frames")
    })
  }

  it("lists the fields of every frame", () => {
    for (const [side, schemas] of Object.entries(frames)) {
      const lines = table("| frame | fields | meaning |", `### What a ${side} sends`)
      assert.deepStrictEqual(lines.map(([name]) => marked(name)[0]), Object.keys(schemas))
      for (const [index, schema] of Object.values(schemas).entries()) {
        const expected = fieldsOf(schema).filter((field) => field !== "type")
        const listed = marked(lines[index]?.[1]?.replaceAll(/\{[^}]*\}/g, ""))
        assert.deepStrictEqual(listed.toSorted(), expected.toSorted())
      }
    }
  })

  it("lists the fields of an event, and of a run's state", () => {
    const [eventTable, stateTable] = text.split("\n| field | | |\n").slice(1).map((rest) =>
      rest.split("\n\n")[0]?.split("\n").slice(1).flatMap((line) => marked(line.split("|")[1])) ?? []
    )
    assert.deepStrictEqual(eventTable, fieldsOf(Frame.WireEvent))
    assert.deepStrictEqual(stateTable?.toSorted(), fieldsOf(RunSnapshot).toSorted())
  })

  it("lists every close code with its meaning and reaction", () => {
    assert.deepStrictEqual(
      table("| code | name | meaning | reaction |"),
      Object.values(closeCodes).map((
        { code, meaning, name, reaction }
      ) => [String(code), `\`${name}\``, meaning, reaction])
    )
  })

  it("lists every built-in event with its fields", () => {
    assert.deepStrictEqual<unknown>(
      table("| type | belongs to a run | data |").map(([name, run, fields]) => [marked(name)[0], run, marked(fields)]),
      [...AgentEvents.catalog.definitions.values()].map(({ name, payload, scope }) => [
        name,
        scope === "run" ? "yes" : "no",
        fieldsOf(payload)
      ])
    )
  })

  it("lists every reason for a gap", () => {
    assert.deepStrictEqual(table("| reason | what happened |").map(([name]) => marked(name)[0]), [
      "retention",
      "slow",
      "epoch"
    ])
    assert.sameMembers(["retention", "slow", "epoch"], [...Frame.GapReason.literals])
  })

  it("states the limits that the schemas hold", () => {
    const plain = text.replaceAll(/\s+/g, " ")
    assert.include(plain, `a string of 1 to ${maxIdLength} characters`)
    assert.include(plain, [...placeholders].map((word) => `\`${word}\``).join(", "))
    assert.include(
      plain,
      `the last ${maxText.toLocaleString("en")} UTF-16 units, of all texts together ${
        maxTotalText.toLocaleString("en")
      }, of the parts the last ${maxParts}. Of each input and output at most ${
        maxJson.toLocaleString("en")
      } bytes of JSON are kept, of all of a run together ${maxTotalJson.toLocaleString("en")}`
    )
    assert.include(plain, `subprotocol \`${Frame.subprotocol}\``)
  })

  it("shows server-sent events as they travel", () => {
    const [block = ""] = blocks("text")
    const lines = block.split("\n")
    const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? ""
    const position = Position.fromText(field("id"))
    const event = Schema.decodeUnknownSync(Frame.WireEvent)(JSON.parse(field("data")))
    assert.deepStrictEqual(position, { epoch: "k3J9xQ", offset: event.offset })
    assert.strictEqual(field("event"), event.type)
    assert.include(golden("frame", "events"), field("data"))
    assert.deepStrictEqual(lines.slice(3), ["", ""])
  })
})
