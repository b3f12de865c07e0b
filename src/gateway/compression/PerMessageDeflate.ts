/**
 * Agrees with a device on the WebSocket extension `permessage-deflate`.
 *
 * Of what a device offers the first offer is taken that can be: every parameter must be
 * known, be there once, and have a value of its form. An offer that is not taken is no
 * reason to refuse a device. A header that is not of the form of RFC 6455 is.
 *
 * A device is asked to compress each of its messages by itself (`client_no_context_takeover`),
 * so that none costs memory once it was read.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7692#section-7.1
 * @since 0.2.0
 */
import { leastWindowBits, mostWindowBits } from "./Compressor.ts"

/**
 * What was agreed on: how far the device can look back, as a power of 2, whether a
 * message may refer to those before it, and the answer.
 *
 * @category models
 * @since 0.2.0
 */
export interface Agreement {
  readonly windowBits: number
  readonly contextTakeover: boolean
  readonly answer: string
}

/**
 * The name of the extension.
 *
 * @category constants
 * @since 0.2.0
 */
export const extension = "permessage-deflate"

interface Offer {
  readonly name: string
  readonly parameters: ReadonlyArray<{ readonly name: string; readonly value: string | undefined }>
}

const token = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
const quoted = /"((?:[^"\\]|\\.)*)"/y
const space = /[ \t]*/y

// Reads the header by the grammar of RFC 6455, section 9.1. `undefined`: it is not of that form.
const read = (header: string): ReadonlyArray<Offer> | undefined => {
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(header)
    if (found === null) return undefined
    at = pattern.lastIndex
    return found
  }
  const takeName = (): string | undefined => {
    take(space)
    const name = take(token)?.[0]
    take(space)
    return name
  }
  const goesOn = (mark: string): boolean => {
    if (header[at] !== mark) return false
    at++
    return true
  }
  const takeValue = (): string | undefined => {
    take(space)
    const value = take(token)?.[0] ?? take(quoted)?.[1]?.replace(/\\(.)/g, "$1")
    take(space)
    return value
  }
  const offers: Array<Offer> = []
  do {
    const name = takeName()
    if (name === undefined) return undefined
    const parameters: Array<Offer["parameters"][number]> = []
    while (goesOn(";")) {
      const parameter = takeName()
      if (parameter === undefined) return undefined
      if (!goesOn("=")) {
        parameters.push({ name: parameter, value: undefined })
        continue
      }
      const value = takeValue()
      if (value === undefined || value.replace(/[!#$%&'*+\-.^_`|~0-9A-Za-z]/g, "") !== "" || value === "") {
        return undefined
      }
      parameters.push({ name: parameter, value })
    }
    offers.push({ name, parameters })
  } while (goesOn(","))
  return at === header.length ? offers : undefined
}

// Decimal, without leading zeros, from 8 to 15.
const bitsOf = (value: string | undefined): number | undefined =>
  value !== undefined && /^(?:[89]|1[0-5])$/.test(value) ? Number(value) : undefined

const take = ({ parameters }: Offer, contextTakeover: boolean): Agreement | undefined => {
  const known = new Set<string>()
  let windowBits: number | undefined
  let isFresh = !contextTakeover
  for (const { name, value } of parameters) {
    if (known.has(name)) return undefined
    known.add(name)
    switch (name) {
      case "server_no_context_takeover":
        if (value !== undefined) return undefined
        isFresh = true
        break
      case "client_no_context_takeover":
        if (value !== undefined) return undefined
        break
      case "server_max_window_bits":
        windowBits = bitsOf(value)
        // zlib has no window of 256 bytes.
        if (windowBits === undefined || windowBits < leastWindowBits) return undefined
        break
      case "client_max_window_bits":
        if (value !== undefined && bitsOf(value) === undefined) return undefined
        break
      default:
        return undefined
    }
  }
  const answer = [
    extension,
    ...(isFresh ? ["server_no_context_takeover"] : []),
    "client_no_context_takeover",
    ...(windowBits === undefined ? [] : [`server_max_window_bits=${windowBits}`])
  ]
  return { windowBits: windowBits ?? mostWindowBits, contextTakeover: !isFresh, answer: answer.join("; ") }
}

/**
 * What to agree on with a device that offers this; `undefined` where there is nothing,
 * and `"malformed"` where the header is not of its form.
 *
 * @category constructors
 * @since 0.2.0
 */
export const agree = (
  header: string | undefined,
  { contextTakeover }: { readonly contextTakeover: boolean }
): Agreement | "malformed" | undefined => {
  if (header === undefined) return undefined
  const offers = read(header)
  if (offers === undefined) return "malformed"
  for (const offer of offers) {
    const agreement = offer.name === extension ? take(offer, contextTakeover) : undefined
    if (agreement !== undefined) return agreement
  }
  return undefined
}
