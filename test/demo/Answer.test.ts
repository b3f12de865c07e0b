import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import * as Library from "../../src/demo/agent/Library.ts"
import { textOf } from "../../src/demo/agent/Section.ts"
import { suggestions } from "../../src/demo/page/run/suggestions.ts"
import { answer, handbook, packageLibrary } from "./support.ts"

class Docs extends Context.Service<Docs, Library.Library>()("test/Docs") {}

layer(Layer.effect(Docs, packageLibrary))("answers from the package's documents", (it) => {
  it.effect("hold the guides and the comments of what users import, and nothing of the inner modules", () =>
    Effect.gen(function*() {
      const { sections } = yield* Docs
      const sources = new Set(sections.map(({ source }) => source))
      assert.isTrue(sources.has("CHANGELOG.md"))
      assert.isTrue(sources.has("src/protocol/wire/CloseCode.ts"))
      assert.isTrue(sources.has("src/client/connect.ts"))
      assert.isFalse(sources.has("src/emitter/dispatch/Outbox.ts"))
      assert.deepStrictEqual([...sources].filter((source) => /^src\/demo\/.*\.ts$/u.test(source)), [])
      assert.strictEqual(new Set(sections.map(({ id }) => id)).size, sections.length)
    }))

  it.effect("quote the sentence that tells, with its source", () =>
    Effect.gen(function*() {
      const found = answer(yield* Docs, "Which close codes make a client reconnect with backoff?")
      assert.isTrue(found.answered)
      assert.match(found.text, /45\d\d[^.]*reconnects? with backoff/u)
      assert.isTrue(found.citations.some(({ section }) => textOf(section).includes("backoff")))
    }))

  it.effect("show the code where it is asked how something is done", () =>
    Effect.gen(function*() {
      const found = answer(yield* Docs, "How do I define my own event?")
      assert.isTrue(found.answered)
      assert.match(found.text, /```ts\n[^`]*Event\.make\("/)
    }))

  it.effect("tell of both sides of a comparison", () =>
    Effect.gen(function*() {
      const library = yield* Docs
      const found = answer(library, "What is the difference between volatile and critical events?")
      assert.isTrue(found.answered)
      assert.match(found.text, /volatile/)
      assert.match(found.text, /critical/)
    }))

  it.effect("read a misspelt word as the one they know, and say so", () =>
    Effect.gen(function*() {
      const found = answer(yield* Docs, "what is a snapshoot?")
      assert.isTrue(found.answered)
      assert.include(found.text, "I read “snapshoot” as “snapshot”.")
    }))

  it.effect("give all of a section whose heading is the question, in prose: so to each question that the page suggests", () =>
    Effect.gen(function*() {
      const library = yield* Docs
      assert.strictEqual(new Set(suggestions).size, 10)
      for (const question of suggestions) {
        const found = answer(library, question)
        const [citation] = found.citations
        assert.deepStrictEqual(found.citations.map(({ section }) => section.title), [question])
        assert.isDefined(citation)
        assert.strictEqual(citation.section.source, "src/demo/README.md")
        assert.strictEqual(found.text, `${textOf(citation.section)} [1]`)
        assert.notMatch(found.text, /^- |^```/mu)
        assert.isAbove(found.text.split(" ").length, 40, question)
        assert.isBelow(found.text.split(" ").length, 110, question)
      }
    }))

  it.effect("do not guess what they cannot know", () =>
    Effect.gen(function*() {
      const library = yield* Docs
      for (
        const question of ["What is the capital of France?", "How do I bake bread with an emitter?", "Who won in 1998?"]
      ) {
        const found = answer(library, question)
        assert.isFalse(found.answered, question)
        assert.deepStrictEqual(found.citations, [])
        assert.include(found.text, "I will not guess")
      }
    }))

  it.effect("say only what the documents say: every quotation stands in a section they cite", () =>
    Effect.gen(function*() {
      const library = yield* Docs
      for (const question of ["What does a broker promise about order?", "What is a gap?", "How does a run end?"]) {
        const found = answer(library, question)
        assert.isTrue(found.answered, question)
        const all = found.citations.map(({ section }) => textOf(section).replaceAll("\n", " ")).join("\n")
        const quotations = found.text
          .replace(/```[\s\S]*?```/gu, "")
          .split("\n")
          .map((line) => line.replace(/^- /u, "").replace(/^`[\w.]+`: /u, "").replace(/ \[\d+\]$/u, ""))
          .flatMap((line) => line.split(/(?<=\.) (?=[A-Z`])/u))
          .filter((line) => line.trim() !== "")
        assert.isAbove(quotations.length, 0)
        for (const quotation of quotations) assert.include(all, quotation)
      }
    }))
})

describe("answers from a pasted text", () => {
  const ask = (question: string) => Effect.map(Library.fromText(handbook), (library) => answer(library, question))

  it.effect("take the one sentence that tells, with what it leans on", () =>
    Effect.gen(function*() {
      const found = yield* ask("How long does the fog horn sound?")
      assert.include(found.text, "The horn sounds for three seconds each minute.")
      assert.notInclude(found.text, "Oil")
      assert.deepStrictEqual(found.citations.map(({ number, section }) => [number, section.title, section.line]), [[
        1,
        "Fog",
        5
      ]])
    }))

  it.effect("take one item of a list, not the list", () =>
    Effect.gen(function*() {
      const found = yield* ask("When does the oil arrive?")
      assert.strictEqual(found.text, "- Oil: 40 litres arrive on the first Monday of the month. [1]")
    }))

  it.effect("take a row of a table with the names of its columns", () =>
    Effect.gen(function*() {
      const found = yield* ask("What colour is the harbour lamp?")
      assert.include(found.text, "harbour · colour: red · range: 4 miles")
    }))

  it.effect("go on with the sentence that only makes sense together", () =>
    Effect.gen(function*() {
      const found = yield* ask("What happens when the boat does not sail?")
      assert.include(found.text, "above force 7. Then the keeper lives on the reserve, which lasts three weeks.")
    }))

  it.effect("answer each part of a question, and say which part they cannot", () =>
    Effect.gen(function*() {
      const found = yield* ask("How often does the lens turn? And what is the wage of a submarine captain?")
      assert.isTrue(found.answered)
      assert.include(found.text, "Its lens turns once every ten seconds")
      assert.include(found.text, "No document mentions “wage”, “submarine” and “captain”.")
      assert.isBelow(found.coverage, 0.5)
    }))

  it.effect("know a text without any heading by its paragraphs", () =>
    Effect.gen(function*() {
      const paragraph = (n: number) => `Paragraph ${n} is about ${"filler words that mean little here. ".repeat(20)}`
      const text = [...Array.from({ length: 8 }, (_, n) => paragraph(n)), "The password of the vault is heliotrope."]
        .join("\n\n")
      const library = yield* Library.fromText(text)
      assert.isAbove(library.sections.length, 3)
      assert.include(answer(library, "What is the password of the vault?").text, "heliotrope")
    }))

  it.effect("refuse a text that is too long, or has no word in it, with a clear error", () =>
    Effect.gen(function*() {
      const tooLong = yield* Effect.flip(Library.fromText("a ".repeat(100_001)))
      assert.deepStrictEqual(tooLong, new Library.TextTooLong({ size: 200_002, limit: 200_000 }))
      assert.include(tooLong.message, "200,002 characters; 200,000 is the most")
      assert.instanceOf(yield* Effect.flip(Library.fromText(" \n\t— … \n")), Library.TextEmpty)
    }))

  it("find nothing in no documents, and say so", () => {
    const found = answer(Library.make("nothing", []), "What is a gap?")
    assert.isFalse(found.answered)
    assert.strictEqual(found.text, "There are no documents to answer from.")
  })

  it.effect("take markup in a pasted text for text", () =>
    Effect.gen(function*() {
      const library = yield* Library.fromText(
        "The <script>alert(1)</script> tag is [a link](https://example.com/x) to the vault."
      )
      assert.strictEqual(
        answer(library, "Where does the link go?").text,
        "The alert(1) tag is a link to the vault. [1]"
      )
    }))
})
