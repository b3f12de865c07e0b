import { assert, describe, it } from "@effect/vitest"
import { blocks } from "../../../src/demo/page/view/markdown.ts"

describe("the blocks of an answer", () => {
  it("are paragraphs, lists and code, as they stand", () => {
    const text = "One `a.b`.\nStill one. [1]\n\nThree:\n\n- x\n- y [2]\n\n```ts\nconst a = 1\n\n- no list\n```\n\nEnd."
    assert.deepStrictEqual(blocks(text), [
      { kind: "paragraph", text: "One `a.b`.\nStill one. [1]" },
      { kind: "paragraph", text: "Three:" },
      { kind: "list", text: "- x\n- y [2]" },
      { kind: "code", text: "const a = 1\n\n- no list" },
      { kind: "paragraph", text: "End." }
    ])
  })

  it("stay what they are while more streams in: only the last one or two change", () => {
    const text = "First. [1]\n\n- a\n- b\n\n```\ncode\n```\n\nLast. [2]"
    for (let length = 1; length < text.length; length++) {
      const before = blocks(text.slice(0, length))
      const after = blocks(text.slice(0, length + 1))
      assert.isAtLeast(after.length, before.length - 1)
      const settled = Math.max(0, before.length - 1)
      assert.deepStrictEqual(
        after.slice(0, settled),
        before.slice(0, settled),
        JSON.stringify(text.slice(0, length + 1))
      )
    }
  })
})
