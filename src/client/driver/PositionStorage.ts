/**
 * Where a client keeps its position, so that a reloaded page resumes where the
 * old one stopped.
 *
 * A position is saved only after its event was handled. A page that comes back
 * therefore gets every event that it had not handled, and none that it had.
 *
 * The position is all that is kept. An event that asks for a confirmation is
 * acknowledged within moments of being handled; where page and acknowledgement are
 * lost in these moments, the event stays unconfirmed, although it was handled.
 * `emitConfirmed` then says that nobody has confirmed it, never the reverse.
 *
 * ```ts
 * import { connect, PositionStorage } from "effect-emitter/client"
 *
 * const connection = connect({
 *   url: "/events",
 *   token: () => fetch("/token").then((response) => response.text()),
 *   storage: PositionStorage.session("agent-events:ada"),
 *   onEvent: (event) => console.log(event.type, event.payload)
 * })
 *
 * connection.close()
 * ```
 *
 * @since 0.1.0
 */
import type { Position } from "../../protocol/values/Position.ts"
import { fromText, toText } from "../../protocol/values/PositionText.ts"

/**
 * Keeps one position. Both calls are synchronous; a storage that is not gives
 * its position as `start` and saves in the background. What `load` and `save`
 * throw is reported, and does not stop the client; a `load` that gives a promise is
 * reported too, and counts as nothing kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface PositionStorage {
  readonly load: () => Position | undefined
  readonly save: (position: Position) => void
}

/**
 * Keeps the position in memory: it survives reconnects of clients that share
 * the storage, and no reload.
 *
 * ```ts
 * import { PositionStorage } from "effect-emitter/client"
 *
 * const storage = PositionStorage.memory({ epoch: "e1", offset: 41 })
 * storage.save({ epoch: "e1", offset: 42 })
 * console.assert(storage.load()?.offset === 42)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const memory = (initial?: Position): PositionStorage => {
  let position = initial
  return {
    load: () => position,
    save: (next) => {
      position = next
    }
  }
}

/**
 * The part of the Web Storage interface that is used.
 *
 * @category models
 * @since 0.1.0
 */
export interface WebStorage {
  readonly getItem: (key: string) => string | null
  readonly setItem: (key: string, value: string) => void
}

/**
 * Keeps the position under `key` in a `Storage` of the browser, as the text
 * `<epoch>:<offset>`. The key should name the user and the device's thread
 * filter: a position means something only for one user's log.
 *
 * ```ts
 * import { connect, PositionStorage } from "effect-emitter/client"
 *
 * const notify = (storage: PositionStorage.WebStorage) =>
 *   connect({
 *     url: "wss://example.com/events",
 *     storage: PositionStorage.web(storage, "ada:notifications"),
 *     onEvent: (event) => console.log(event.type)
 *   })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const web = (storage: WebStorage, key: string): PositionStorage => ({
  load: () => fromText(storage.getItem(key) ?? ""),
  save: (position) => storage.setItem(key, toText(position))
})

/**
 * Keeps the position in the tab's `sessionStorage`: it survives a reload, and
 * another tab has its own. Outside of browsers the first use throws.
 *
 * @category constructors
 * @since 0.1.0
 */
export const session = (key: string): PositionStorage => {
  const storage: WebStorage = {
    getItem: (name) => globalThis.sessionStorage.getItem(name),
    setItem: (name, value) => globalThis.sessionStorage.setItem(name, value)
  }
  return web(storage, key)
}
