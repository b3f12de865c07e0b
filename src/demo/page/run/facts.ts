/**
 * What the page reads out of a run of its agent, free of the DOM.
 */
import type { Run } from "../../../client/index.ts"

/** Where a quotation of the answer comes from. */
export interface Citation {
  readonly number: number
  readonly title: string
  readonly source: string
  readonly line: number
  readonly excerpt: string
}

type Data = { readonly [key: string]: unknown }

const text = (data: Data, key: string): string | undefined => typeof data[key] === "string" ? data[key] : undefined
const number = (data: Data, key: string): number | undefined => typeof data[key] === "number" ? data[key] : undefined
const isData = (value: unknown): value is Data => typeof value === "object" && value !== null && !Array.isArray(value)

/** What was asked. */
export const question = ({ input }: Run): string | undefined => isData(input) ? text(input, "question") : undefined

/** What the answer is taken from. */
export const documents = ({ input }: Run): string | undefined => isData(input) ? text(input, "documents") : undefined

/** The answer so far. */
export const answer = ({ parts }: Run): string =>
  parts.flatMap((part) => part.type === "text" ? [part.text] : []).join("\n\n")

/** What the answer cites, known when the run is complete. */
export const citations = ({ result }: Run): ReadonlyArray<Citation> => {
  const list = isData(result) ? result["citations"] : undefined
  return (Array.isArray(list) ? list : []).flatMap((entry: unknown) => {
    if (!isData(entry)) return []
    const [title, source, excerpt] = [text(entry, "title"), text(entry, "source"), text(entry, "excerpt")]
    const [nth, line] = [number(entry, "number"), number(entry, "line")]
    return title === undefined || source === undefined || nth === undefined
      ? []
      : [{ number: nth, title, source, line: line ?? 1, excerpt: excerpt ?? "" }]
  })
}

/** Newest first. */
export const byTime = (a: Run, b: Run): number => (b.startedAt ?? 0) - (a.startedAt ?? 0)
