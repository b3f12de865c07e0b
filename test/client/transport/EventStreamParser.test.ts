import { assert, describe, it } from "@effect/vitest"
import { createParser } from "eventsource-parser"
import { eventStreamParser } from "../../../src/client/transport/EventStreamParser.ts"
import { Dice } from "../ModelServer.ts"

type Heard = ReadonlyArray<unknown>

const read = (pieces: ReadonlyArray<string>): Heard => {
  const heard: Array<unknown> = []
  const feed = eventStreamParser({
    onIdAlone: (id) => heard.push({ id }),
    onEvent: (event) => heard.push(event),
    onComment: () => heard.push("comment")
  })
  for (const piece of pieces) feed(piece)
  return heard
}

/** What a parser of the field makes of the same. */
const readElsewhere = (pieces: ReadonlyArray<string>): Heard => {
  const heard: Array<unknown> = []
  const { feed } = createParser({
    onId: (id) => heard.push({ id }),
    onEvent: ({ data, event, id }) => {
      if (id !== undefined) heard.pop()
      heard.push({ data, event, id })
    },
    onComment: () => heard.push("comment")
  })
  for (const piece of pieces) feed(piece)
  return heard
}

const cut = (text: string, dice: Dice): ReadonlyArray<string> => {
  const pieces: Array<string> = []
  for (let at = 0; at < text.length;) {
    const size = dice.int(0, 9)
    pieces.push(text.slice(at, at + size))
    at += size
  }
  return pieces
}

const lines = [
  "data: x",
  "data:  two spaces",
  "data:none",
  "data",
  "data:",
  "data: ä 👩‍💻: y",
  "event: e",
  "event:",
  "event",
  "id: E1:4",
  "id:",
  "id",
  "id: \0",
  ": comment",
  ":",
  "retry: 5",
  "unknown: 1",
  " data: x",
  "Data: x",
  ""
]

describe("eventStreamParser", () => {
  it("reads what the standard says, wherever the text is cut and however its lines end", () => {
    for (let seed = 1; seed <= 2_000; seed++) {
      const dice = new Dice(seed)
      const text = Array.from({ length: dice.int(1, 30) }, () => {
        const line = dice.chance(0.3) ? "" : dice.pick(lines)
        return line + dice.pick(["\n", "\n", "\r\n", "\r"])
      }).join("")
      // What a line says is known once it has ended for certain.
      const pieces = [...cut(text, dice), "\n"]
      assert.deepStrictEqual(read(pieces), readElsewhere(pieces), `seed ${seed}: ${JSON.stringify(pieces)}`)
    }
  })

  it("gives an event when its blank line is there, and not before", () => {
    assert.deepStrictEqual(read(["id: 1\ndata: a\n", "data: b\n"]), [])
    assert.deepStrictEqual(read(["id: 1\ndata: a\n", "data: b\n", "\n"]), [
      { data: "a\nb", event: undefined, id: "1" }
    ])
  })

  it("goes on after a listener that throws", () => {
    const heard: Array<string> = []
    const feed = eventStreamParser({
      onIdAlone: () => {},
      onEvent: ({ data }) => {
        heard.push(data)
        if (data === "a") throw new Error("of a listener")
      },
      onComment: () => {}
    })
    assert.throws(() => feed("data: a\n\n"))
    feed("data: b\n\n")
    assert.deepStrictEqual(heard, ["a", "b"])
  })
})
