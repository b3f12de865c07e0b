/**
 * Breaks text into the words that search and scoring compare.
 *
 * A word is lower case and without its ending, so that "batched", "batches" and "batching" meet. Names from code give
 * their parts as well as the whole: `closeTimeout` is found by "timeout".
 */

const ordinary = new Set(
  ("a an and any are as at be been but by can could did do does doing done each ever every for from get gets give given "
    + "gives go had has have how i if in into is it its just kind let like made make makes many may me mean means might "
    + "more most much must my need needs no not of off on one only or other our out own over please say says shall should "
    + "show so some such take takes tell than that the their them then there these they thing things this those to too up "
    + "us use used uses using was way we were what when where whether which while who whom whose why will with without "
    + "work works would you your about happen happens explain describe between")
    .split(" ")
)

const pattern = /[\p{L}\p{N}]+(?:['’_][\p{L}\p{N}]+)*/gu

/** Splits `closeTimeout`, `text_delta` and `HTTPServer` into their parts. */
const partsOf = (word: string): ReadonlyArray<string> =>
  word.replace(/(\p{Ll}|\p{N})(\p{Lu})/gu, "$1 $2").replace(/(\p{Lu})(\p{Lu}\p{Ll})/gu, "$1 $2").split(/[\s_'’]+/u)

/**
 * A word without its ending. Light on purpose: it need not give a word of the language, only the same text for the
 * forms of one word.
 */
export const stem = (word: string): string => {
  if (word.length < 4 || /\p{N}/u.test(word)) return word
  let out = word
  if (out.endsWith("ies") || out.endsWith("ied")) out = `${out.slice(0, -3)}y`
  else if (/(ss|sh|ch|x|z)es$/u.test(out)) out = out.slice(0, -2)
  else if (/[^sui]s$/u.test(out)) out = out.slice(0, -1)
  if (out.endsWith("ly") && out.length > 5) out = out.slice(0, -2)
  const cut = /^(.*[aeiouy].*?)(ing|ed)$/u.exec(out)
  if (cut?.[1] !== undefined && cut[1].length > 2) out = cut[1].replace(/([^aeioulsz])\1$/u, "$1")
  else if (/[ts]ion$/u.test(out) && out.length > 6) out = out.slice(0, -3)
  return out.length > 3 && out.endsWith("e") ? out.slice(0, -1) : out
}

/** A part of a word: how it is written, how it is compared, and whether it says nothing of a subject. */
interface Part {
  readonly form: string
  readonly stem: string
  readonly isOrdinary: boolean
}

/** One word of a text, read: as a whole, and by its parts, which for most words is one. */
interface Word {
  readonly stem: string
  readonly isOrdinary: boolean
  readonly parts: ReadonlyArray<Part>
}

const read = (text: string): Word => {
  const lower = text.toLowerCase()
  const parts = partsOf(text).filter((form) => form !== "").map((form): Part => {
    const part = form.toLowerCase()
    return { form, stem: stem(part), isOrdinary: ordinary.has(part) }
  })
  return { stem: stem(lower), isOrdinary: ordinary.has(lower), parts }
}

/** The words that were read last, since texts say the same ones over and over. */
const known = new Map<string, Word>()
const mostKnown = 20_000

const wordsIn = function*(text: string): Generator<Word> {
  for (const [match] of text.matchAll(pattern)) {
    let word = known.get(match)
    if (word === undefined) {
      if (known.size >= mostKnown) known.clear()
      known.set(match, word = read(match))
    }
    yield word
  }
}

/** Every word of a text, in order, ordinary words included. */
export const words = (text: string): ReadonlyArray<string> => {
  const out: Array<string> = []
  for (const word of wordsIn(text)) {
    const parts = word.parts.filter(({ form }) => form !== "s")
    if (parts.length > 1) out.push(word.stem)
    for (const part of parts) out.push(part.stem)
  }
  return out
}

/** The words of a text that say what it is about: no ordinary words, no single letters. */
export const contentWords = (text: string): ReadonlyArray<string> => {
  const out: Array<string> = []
  for (const word of wordsIn(text)) {
    if (word.isOrdinary) continue
    if (word.parts.length > 1) out.push(word.stem)
    for (const { form, isOrdinary, stem } of word.parts) if (form.length > 1 && !isOrdinary) out.push(stem)
  }
  return out
}

const measures = /\bhow\s+(?:long|often|large|big|small|far|fast|quickly|soon|old|high|deep|tall|wide|heavy|few)\b/giu

/**
 * The words of a text that say what it is about, each with the form it was written in, first one first. A compound
 * name such as `closeTimeout` counts by its parts alone, so that it does not weigh three times.
 */
export const subjectWords = (text: string): ReadonlyMap<string, string> => {
  const out = new Map<string, string>()
  for (const word of wordsIn(text.replace(measures, "how"))) {
    if (word.isOrdinary) continue
    for (const { form, isOrdinary, stem } of word.parts) {
      if (form.length > 1 && !isOrdinary && !out.has(stem)) out.set(stem, form)
    }
  }
  return out
}

/** How many words a text has: what the demo counts as tokens. */
export const countWords = (text: string): number => text.match(/\S+/gu)?.length ?? 0
