/**
 * How often each component of the page was drawn, and which events its handlers were called with, for the test to read.
 */
interface Noted {
  readonly drawn: Record<string, number>
  readonly events: Array<string>
}

declare global {
  var noted: Noted | undefined
}

const noted = globalThis.noted ??= { drawn: {}, events: [] }

/** A component is drawn. */
export const draw = (name: string): void => {
  noted.drawn[name] = (noted.drawn[name] ?? 0) + 1
}

/** A handler is called. */
export const hear = (text: string): void => {
  noted.events.push(text)
}
