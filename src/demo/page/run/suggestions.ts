/**
 * Questions to begin with: what people ask before they decide. The demo's README answers them.
 */

/** The first three are shown, the others on request. */
export const suggestions: readonly [string, string, string, ...ReadonlyArray<string>] = [
  "What happens when I reload in the middle of a run?",
  "Do I need Redis?",
  "How fast is effect-emitter?",
  "How is this better than server-sent events of my own?",
  "What happens when the server dies in the middle of a run?",
  "How can a user stop a run?",
  "What is lost when a phone sleeps for an hour?",
  "What is effect-emitter good for?",
  "Can one user ever see the events of another?",
  "What are the limits of effect-emitter?"
]
