/**
 * What the protocol document says becomes of a sequence, worked out by rules of its own: nothing of the gateway is used.
 */
import { maxBytes, type Message, type Sequence } from "./messages.ts"

/** The codes that may end a session; none if it has to go on, `Greeted` or still `Waiting` for a hello. */
export type Expected =
  | { readonly _tag: "Closed"; readonly codes: ReadonlySet<number> }
  | { readonly _tag: "Greeted" }
  | { readonly _tag: "Waiting" }

interface Frame {
  readonly type: string
  readonly [key: string]: unknown
}

const isObject = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isOffset = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0

const noIds: ReadonlyArray<string> = ["undefined", "null", "none", "nil", "nan", "registry", "placeholder"]

const isId = (value: unknown): boolean =>
  typeof value === "string" && value.length >= 1 && value.length <= 128 &&
  !/[\s{}\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]/u.test(value) &&
  !noIds.includes(value.toLowerCase())

const isEpoch = (value: unknown): boolean => typeof value === "string" && /^[A-Za-z0-9_-]{1,32}$/.test(value)

const isPosition = (value: unknown): boolean => isObject(value) && isEpoch(value["epoch"]) && isOffset(value["offset"])

const has = (frame: Frame, key: string) => Object.hasOwn(frame, key)

const rules: Readonly<Record<string, (frame: Frame) => boolean>> = {
  hello: (frame) =>
    (!has(frame, "token") || typeof frame["token"] === "string") &&
    (!has(frame, "resume") || isPosition(frame["resume"])) &&
    (!has(frame, "threads") ||
      (Array.isArray(frame["threads"]) && frame["threads"].length <= 64 && frame["threads"].every(isId))) &&
    (!has(frame, "client") || (typeof frame["client"] === "string" && frame["client"].length <= 128)),
  ack: (frame) =>
    has(frame, "offset") && isOffset(frame["offset"]) && (!has(frame, "epoch") || isEpoch(frame["epoch"])),
  pong: () => true,
  // What else is wrong with it is no reason to close: it is refused by its id.
  command: (frame) => has(frame, "id") && isId(frame["id"]),
  token: (frame) => typeof frame["token"] === "string" && has(frame, "token")
}

/** The frame of a message, or `undefined` if it is none. */
const frameOf = (text: string): Frame | undefined => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isObject(value)) return undefined
  const type = value["type"]
  if (typeof type !== "string" || !Object.hasOwn(rules, type)) return undefined
  const frame: Frame = { ...value, type }
  return rules[type]?.(frame) === true ? frame : undefined
}

/** Whom a token names, or the code that it earns. */
const verified = (token: string, before: string | undefined): string | number => {
  if (token === "down") return 4500
  if (token === "dies") return 4503
  const user = /^(?:ok|slow):(ann|bob)$/.exec(token)?.[1]
  return user === undefined || (before !== undefined && user !== before) ? 4401 : user
}

/** What is wrong with a message before it is looked at in its place. */
const fault = (message: Message): number | undefined => {
  if (message._tag === "Binary") return 4400
  if (Buffer.byteLength(message.text) > maxBytes) return 4413
  return frameOf(message.text) === undefined ? 4400 : undefined
}

/** What becomes of a sequence, with so many frames allowed at once. */
export const expected = ({ header, messages }: Sequence, burst: number): Expected => {
  const codes = new Set<number>()
  let user = header
  let greeted = false
  let heard = 0
  // While a token is checked, later messages wait in their order; only what is wrong by itself is noticed at once.
  const asOrdered = (message: Message): number | undefined => {
    const code = fault(message)
    if (code !== undefined || message._tag === "Binary") return code
    const frame = frameOf(message.text)
    if (frame === undefined) return 4400
    if (!greeted && frame.type !== "hello") return 4400
    if (greeted && frame.type === "hello") return 4400
    if (frame.type === "hello" && !has(frame, "token")) {
      if (user === undefined) return 4401
      greeted = true
      return undefined
    }
    if (frame.type !== "hello" && frame.type !== "token") return undefined
    const who = verified(String(frame["token"]), user)
    if (typeof who === "number") return who
    user = who
    greeted = true
    return undefined
  }
  let ended = false
  for (const message of messages) {
    const oversized = message._tag === "Text" && Buffer.byteLength(message.text) > maxBytes
    if (!oversized) heard += 1
    const tooMany = !oversized && heard > burst
    const atOnce = tooMany ? 4429 : fault(message)
    if (!ended) {
      const code = tooMany ? 4429 : asOrdered(message)
      if (code !== undefined) {
        codes.add(code)
        ended = true
      }
    }
    if (atOnce !== undefined) {
      codes.add(atOnce)
      return { _tag: "Closed", codes }
    }
  }
  if (codes.size > 0) return { _tag: "Closed", codes }
  return { _tag: greeted ? "Greeted" : "Waiting" }
}
