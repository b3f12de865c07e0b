/**
 * What a device may throw at a gateway: valid frames, frames that were bent, cut or blown up, and things that never were
 * frames. Everything follows from a seed.
 */
import { Dice } from "../../client/ModelServer.ts"

/** A message as it would come out of a socket: text, bytes, or a text that is larger than a gateway reads. */
export type Message =
  | { readonly _tag: "Text"; readonly text: string }
  | { readonly _tag: "Binary"; readonly bytes: Uint8Array }

/** One device: whom the request's header named, if anybody, what it sends, and whether it then vanishes at once. */
export interface Sequence {
  readonly header: string | undefined
  readonly messages: ReadonlyArray<Message>
  readonly vanishes: boolean
}

/** The largest message that a gateway under this fuzzer reads. */
export const maxBytes = 16 * 1024

const text = (value: string): Message => ({ _tag: "Text", text: value })
const json = (value: unknown): Message => text(JSON.stringify(value))

const oddStrings: ReadonlyArray<string> = [
  "",
  " ",
  "null",
  "UNDEFINED",
  "{{user}}",
  "a b",
  "\u0000",
  "\u0085",
  "\ud800",
  "\udfff\ud800",
  "\ufeff",
  "\u2028\u2029",
  "\u202eabc",
  "👩‍💻".repeat(20),
  "e\u0301".repeat(100),
  "x".repeat(128),
  "x".repeat(129),
  "é".repeat(128),
  "__proto__",
  "constructor",
  "t1"
]

const oddNumbers: ReadonlyArray<number> = [
  0,
  -0,
  -1,
  0.5,
  1,
  2 ** 31,
  2 ** 53 - 1,
  2 ** 53,
  -(2 ** 53),
  1e308,
  5e-324
]

const nested = (dice: Dice, depth: number): unknown => {
  let value: unknown = dice.pick([0, "x", null])
  for (let level = 0; level < depth; level++) value = dice.chance(0.5) ? [value] : { a: value }
  return value
}

const anything = (dice: Dice): unknown => {
  switch (dice.int(0, 8)) {
    case 0:
      return dice.pick(oddStrings)
    case 1:
      return dice.pick(oddNumbers)
    case 2:
      return dice.chance(0.5)
    case 3:
      return null
    case 4:
      return []
    case 5:
      return {}
    case 6:
      return nested(dice, dice.int(1, 200))
    case 7:
      return Array.from({ length: dice.int(1, 100) }, () => dice.pick(oddStrings))
    default:
      return { epoch: dice.pick(oddStrings), offset: dice.pick(oddNumbers) }
  }
}

/** Tokens: the fuzzer's authenticator knows `ok:<user>`, and takes its time with `slow:<user>`. */
const tokens: ReadonlyArray<string> = [
  "ok:ann",
  "ok:ann",
  "ok:ann",
  "slow:ann",
  "slow:ann",
  "ok:bob",
  "slow:bob",
  "bad",
  "slow:",
  "down",
  "dies",
  "eyJhbGciOiJub25lIn0.e30.",
  "",
  "x".repeat(8_000),
  "\ud800"
]

const hello = (dice: Dice): Record<string, unknown> => ({
  type: "hello",
  ...(dice.chance(0.85) ? { token: dice.chance(0.8) ? dice.pick(["ok:ann", "slow:ann"]) : dice.pick(tokens) } : {}),
  ...(dice.chance(0.4)
    ? {
      resume: {
        epoch: dice.pick(["E", "earliest", "_-".repeat(16), "k3J9xQ"]),
        offset: dice.pick([0, 1, 7, 2 ** 40, 2 ** 53 - 1])
      }
    }
    : {}),
  ...(dice.chance(0.3)
    ? { threads: Array.from({ length: dice.pick([0, 1, 3, 64]) }, (_, n) => `t${n}`) }
    : {}),
  ...(dice.chance(0.3) ? { client: dice.pick(["fuzz/1", "👩‍💻", "", "x".repeat(128)]) } : {})
})

const valid = (dice: Dice): Record<string, unknown> => {
  switch (dice.int(0, 6)) {
    case 0:
      return { type: "pong" }
    case 6:
      return {
        type: "command",
        id: dice.pick(["c1", "c2", "c3"]),
        run: dice.pick(["ann-1", "bob-1", "ann-ended"]),
        name: dice.pick(["cancel", "answer", "steer"]),
        ...(dice.chance(0.4) ? { data: anything(dice) } : {})
      }
    case 1:
      return { type: "token", token: dice.chance(0.8) ? dice.pick(["ok:ann", "slow:ann"]) : dice.pick(tokens) }
    default:
      return {
        type: "ack",
        offset: dice.pick([0, 1, 2, 100, 2 ** 53 - 1]),
        ...(dice.chance(0.5) ? { epoch: dice.pick(["e1", "another"]) } : {})
      }
  }
}

/** Changes one thing of a frame, or a few. */
const bend = (dice: Dice, frame: Record<string, unknown>): Message => {
  const bent: Record<string, unknown> = { ...frame }
  for (let times = dice.int(1, 3); times > 0; times--) {
    const key = dice.pick([...Object.keys(bent), "type", "offset"])
    switch (dice.int(0, 5)) {
      case 0:
        delete bent[key]
        break
      case 1:
        bent[key] = anything(dice)
        break
      case 2:
        // A field nobody knows: to be ignored.
        bent[dice.pick(["future", "", "Type", "constructor", "x".repeat(200)])] = anything(dice)
        break
      case 3:
        bent["type"] = dice.pick([
          "hello",
          "ack",
          "pong",
          "token",
          "command",
          "events",
          "welcome",
          "HELLO",
          "",
          "toString"
        ])
        break
      case 4: {
        const value = bent[key]
        if (typeof value === "object" && value !== null) bent[key] = { ...value, offset: anything(dice) }
        else bent[key] = dice.pick(oddStrings)
        break
      }
      default:
        bent[key] = [bent[key]]
    }
  }
  const written = JSON.stringify(bent)
  switch (dice.int(0, 6)) {
    case 0:
      // The last of two equal keys counts.
      return text(written.replace(/^\{/, `{"type":${JSON.stringify(anything(dice))},`))
    case 1:
      return text(written.replace(/^\{/, `{"__proto__":{"type":"hello"},`))
    case 2:
      return text(written.replace(/\d+/, dice.pick(["1e400", "-1e400", "01", "1.", "0x1", "NaN", "1e2", "1.0"])))
    default:
      return text(written)
  }
}

const cut = (dice: Dice, frame: Record<string, unknown>): Message => {
  const written = JSON.stringify(frame)
  const at = dice.int(0, written.length)
  switch (dice.int(0, 3)) {
    case 0:
      return text(written.slice(0, at))
    case 1:
      return text(written.slice(at))
    case 2:
      return text(written.slice(0, at) + String.fromCharCode(dice.int(0, 0xffff)) + written.slice(at + 1))
    default:
      return text(written + dice.pick([written, "\n", ",", "\u0000", " \t\r\n"]))
  }
}

const notAFrame = (dice: Dice): Message => {
  switch (dice.int(0, 6)) {
    case 0:
      return { _tag: "Binary", bytes: Uint8Array.from({ length: dice.int(0, 64) }, () => dice.int(0, 255)) }
    case 1:
      return text(dice.pick(["", "{}", "[]", "null", "0", "\"hello\"", "true", "{", "}{", "[1,2,3]", "\ufeff{}"]))
    case 2:
      return text(dice.pick(["[", `{"a":`, `{"type":"ack","offset":`]).repeat(dice.int(1, 5_000)).slice(0, maxBytes))
    case 3:
      return json(nested(dice, dice.int(1, 2_000)))
    case 4:
      return text(Array.from({ length: dice.int(1, 200) }, () => String.fromCharCode(dice.int(0, 0xffff))).join(""))
    default:
      return json(anything(dice))
  }
}

/** A valid frame, blown up to just below or just above what is read. */
const huge = (dice: Dice, frame: Record<string, unknown>): Message => {
  const { length } = JSON.stringify({ ...frame, padding: "" })
  return json({ ...frame, padding: "x".repeat(Math.max(0, maxBytes - length + dice.pick([-1, 0, 1, 100, 50_000]))) })
}

const message = (dice: Dice): Message => {
  const frame = dice.chance(0.1) ? hello(dice) : valid(dice)
  const kind = dice.next()
  if (kind < 0.86) return json(frame)
  if (kind < 0.92) return bend(dice, frame)
  if (kind < 0.955) return cut(dice, frame)
  if (kind < 0.985) return notAFrame(dice)
  return huge(dice, frame)
}

const storm = (dice: Dice): ReadonlyArray<Message> => {
  const count = dice.int(5, 60)
  switch (dice.int(0, 4)) {
    case 4:
      return Array.from(
        { length: Math.min(count, 30) },
        (_, n) => json({ type: "command", id: `c${n % 20}`, run: "ann-1", name: "cancel" })
      )
    case 0:
      return Array.from({ length: count }, () => json({ type: "pong" }))
    case 1:
      return Array.from({ length: count }, () => json({ type: "token", token: dice.pick(["ok:ann", "slow:ann"]) }))
    case 2:
      return Array.from({ length: count }, (_, n) => json({ type: "ack", offset: (count - n) * 1_000 }))
    default:
      return Array.from({ length: dice.int(2, 5) }, () => json(hello(dice)))
  }
}

const isCommand = (message: Message) => message._tag === "Text" && message.text.includes(`"command"`)

/** The sequence of a seed. */
export const sequence = (seed: number): Sequence => {
  const dice = new Dice(seed)
  const messages: Array<Message> = []
  const opening = dice.next()
  if (opening < 0.75) messages.push(json(hello(dice)))
  else if (opening < 0.85) messages.push(bend(dice, hello(dice)))
  else if (opening < 0.9) messages.push(cut(dice, hello(dice)))
  else messages.push(message(dice))
  for (let more = dice.int(0, 12); more > 0; more--) messages.push(message(dice))
  if (dice.chance(0.04)) messages.push(...storm(dice))
  const header = dice.chance(0.2) ? dice.pick(["ann", "ann", "bob"]) : undefined
  const vanishes = dice.chance(0.1)
  // Whether a command counts as a frame depends on when it is looked at: where the limit on frames is near, there are none.
  return { header, vanishes, messages: messages.length > 50 ? messages.filter((each) => !isCommand(each)) : messages }
}

/** A message for people. */
export const show = (message: Message): string => {
  if (message._tag === "Binary") return `binary ${Buffer.from(message.bytes).toString("hex")}`
  const shown = JSON.stringify(message.text)
  return shown.length > 400 ? `${shown.slice(0, 400)}… (${message.text.length} characters)` : shown
}
