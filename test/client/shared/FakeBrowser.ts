/**
 * Web Locks and channels of one browser without a browser, for tabs that a test hangs and closes.
 */
import type { ChannelConstructor, Locks } from "../../../src/client/transport/Platform.ts"

interface Waiting {
  readonly start: () => void
}

interface Held {
  readonly lose: () => void
}

/** One browser. Each `tab` has the same locks and channels as the others, until it hangs. */
export const fakeBrowser = () => {
  const held = new Map<string, Held>()
  const queues = new Map<string, Array<Waiting>>()
  const channels = new Map<string, Set<(data: unknown) => void>>()

  const request: Locks["request"] = (name, { signal, steal }, run) =>
    new Promise((resolve, reject) => {
      const queue = queues.get(name) ?? []
      queues.set(name, queue)
      const next = () => {
        held.delete(name)
        queue.shift()?.start()
      }
      const start = () => {
        let isHeld = true
        held.set(name, {
          lose: () => {
            isHeld = false
            reject(new DOMException("stolen", "AbortError"))
          }
        })
        const hold = async () => {
          await run()
          if (!isHeld) return
          resolve(undefined)
          next()
        }
        void hold()
      }
      const waiting = { start }
      signal?.addEventListener("abort", () => {
        const at = queue.indexOf(waiting)
        if (at < 0) return
        queue.splice(at, 1)
        reject(signal.reason)
      })
      if (steal === true) {
        held.get(name)?.lose()
        queueMicrotask(start)
      } else if (held.has(name)) queue.push(waiting)
      else queueMicrotask(start)
    })

  /** What becomes of a lock is told by tasks of the tab. */
  const requestOf = (run: (task: () => void) => void): Locks["request"] => (name, options, hold) =>
    new Promise((resolve, reject) => {
      const held = () => new Promise<void>((resolve) => run(() => void hold().then(resolve)))
      request(name, options, held).then(
        () => run(() => resolve(undefined)),
        (error: unknown) => run(() => reject(error instanceof Error ? error : new Error(String(error))))
      )
    })

  /** A tab: `hang` and `go` say whether its messages are handled; they wait meanwhile. */
  const tab = () => {
    let hangs = false
    let late: Array<() => void> = []
    const run = (task: () => void) => hangs ? void late.push(task) : task()
    class FakeChannel {
      readonly #name: string
      #listener: ((data: unknown) => void) | undefined

      constructor(name: string) {
        this.#name = name
      }

      addEventListener(_: "message", listener: (event: { readonly data: unknown }) => void): void {
        this.#listener = (data) => run(() => this.#listener === undefined ? undefined : listener({ data }))
        channels.set(this.#name, (channels.get(this.#name) ?? new Set()).add(this.#listener))
      }

      postMessage(message: unknown): void {
        const data: unknown = structuredClone(message)
        for (const listener of channels.get(this.#name) ?? []) {
          if (listener !== this.#listener) queueMicrotask(() => listener(data))
        }
      }

      close(): void {
        if (this.#listener !== undefined) channels.get(this.#name)?.delete(this.#listener)
        this.#listener = undefined
      }
    }
    const BroadcastChannel: ChannelConstructor = FakeChannel
    return {
      locks: { request: requestOf(run) },
      BroadcastChannel,
      hang: () => {
        hangs = true
      },
      go: () => {
        hangs = false
        const tasks = late
        late = []
        for (const task of tasks) task()
      },
      run
    }
  }
  /** The names of locks that are held, and of channels that are open. */
  const names = () =>
    Array.from(
      new Set([...held.keys(), ...Array.from(channels).filter(([, open]) => open.size > 0).map(([name]) => name)])
    )
  return { tab, names }
}
