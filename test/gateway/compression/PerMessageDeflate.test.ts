import { assert, describe, it } from "@effect/vitest"
import { agree } from "../../../src/gateway/compression/PerMessageDeflate.ts"

const deflate = "permessage-deflate"
const fresh = `${deflate}; server_no_context_takeover; client_no_context_takeover`
const continued = `${deflate}; client_no_context_takeover`

/** What a device offers, and what it is answered by a gateway without and with context takeover. */
const offers: ReadonlyArray<readonly [string, string | undefined, string | undefined]> = [
  [deflate, fresh, continued],
  // Chromium, Firefox and undici; the `ws` package; Safari.
  [`${deflate}; client_max_window_bits`, fresh, continued],
  [`${deflate}; client_max_window_bits=15`, fresh, continued],
  [`${deflate}; server_no_context_takeover`, fresh, fresh],
  [`${deflate}; client_no_context_takeover`, fresh, continued],
  [
    `${deflate}; server_max_window_bits=10; client_max_window_bits`,
    `${fresh}; server_max_window_bits=10`,
    `${continued}; server_max_window_bits=10`
  ],
  [
    `${deflate}; server_max_window_bits="12"`,
    `${fresh}; server_max_window_bits=12`,
    `${continued}; server_max_window_bits=12`
  ],
  [
    `${deflate};server_max_window_bits = 9`,
    `${fresh}; server_max_window_bits=9`,
    `${continued}; server_max_window_bits=9`
  ],
  // The first that can be taken.
  [`${deflate}; server_max_window_bits=8, ${deflate}`, fresh, continued],
  [`${deflate}; server_max_window_bits=16,\t${deflate}; server_no_context_takeover`, fresh, fresh],
  [`x-webkit-deflate-frame, ${deflate}`, fresh, continued],
  [`mux; max-channels=4; flow-control, ${deflate}`, fresh, continued],
  // None that can be taken.
  ...[
    "x-webkit-deflate-frame",
    `${deflate}; server_max_window_bits=8`,
    `${deflate}; server_max_window_bits`,
    `${deflate}; server_max_window_bits=7`,
    `${deflate}; server_max_window_bits=16`,
    `${deflate}; server_max_window_bits=010`,
    `${deflate}; server_max_window_bits=1e1`,
    `${deflate}; server_max_window_bits=10; server_max_window_bits=10`,
    `${deflate}; client_max_window_bits=7`,
    `${deflate}; client_max_window_bits=16`,
    `${deflate}; client_max_window_bits=x`,
    `${deflate}; client_max_window_bits; client_max_window_bits`,
    `${deflate}; server_no_context_takeover=1`,
    `${deflate}; client_no_context_takeover=true`,
    `${deflate}; server_no_context_takeover; server_no_context_takeover`,
    `${deflate}; Server_no_context_takeover`,
    `${deflate}; level=9`,
    `permessage-bzip2`
  ].map((offer) => [offer, undefined, undefined] as const)
]

const malformed = [
  "",
  ",",
  `${deflate},`,
  `, ${deflate}`,
  `${deflate};`,
  `${deflate}; ; client_max_window_bits`,
  `${deflate}; =10`,
  `${deflate}; server_max_window_bits=`,
  `${deflate}; server_max_window_bits=""`,
  `${deflate}; server_max_window_bits="1 0"`,
  `${deflate}; server_max_window_bits="10`,
  `${deflate}; server_max_window_bits=10 9`,
  `permessage deflate`,
  `${deflate}; server_max_window_bits=(10)`,
  `${deflate}\r\n`
]

describe("permessage-deflate", () => {
  it("is agreed on by the first offer that can be taken, each parameter of its form and there once", () => {
    const answers = offers.map(([offer]) => {
      const [without, withContext] = [false, true].map((contextTakeover) => agree(offer, { contextTakeover }))
      const answerOf = (found: typeof without) => typeof found === "object" ? found.answer : found
      return [offer, answerOf(without), answerOf(withContext)]
    })
    assert.deepStrictEqual(answers, offers.map((row) => [...row]))
  })

  it("is not agreed on without an offer, and not by a header of another form, which is refused", () => {
    assert.isUndefined(agree(undefined, { contextTakeover: false }))
    for (const header of malformed) assert.strictEqual(agree(header, { contextTakeover: false }), "malformed", header)
  })

  it("says how far the device can look back, and whether it keeps what it was sent", () => {
    const agreed = (offer: string, contextTakeover: boolean) => {
      const found = agree(offer, { contextTakeover })
      return typeof found === "object" ? [found.windowBits, found.contextTakeover] : found
    }
    assert.deepStrictEqual(agreed(deflate, true), [15, true])
    assert.deepStrictEqual(agreed(deflate, false), [15, false])
    assert.deepStrictEqual(agreed(`${deflate}; server_max_window_bits=11`, true), [11, true])
    assert.deepStrictEqual(agreed(`${deflate}; server_no_context_takeover`, true), [15, false])
  })
})
