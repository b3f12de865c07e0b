/**
 * What a mapping of runs to another protocol is: pure, with a state of its own for each
 * reader, and the same on a server and on a page.
 *
 * @since 0.2.0
 */
import type { RunItem } from "./RunItem.ts"

/**
 * - `next` is what an item makes of the state, and the messages that it makes.
 * - `isOver` tells that nothing is sent any more, even where the run goes on.
 *
 * @category models
 * @since 0.2.0
 */
export interface Mapping<State, Message> {
  readonly initial: State
  readonly next: (state: State, item: RunItem) => readonly [State, ReadonlyArray<Message>]
  readonly isOver?: (state: State) => boolean
}
