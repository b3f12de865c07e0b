/**
 * Chunks that wait for who iterates over them.
 *
 * @since 0.2.0
 */

/**
 * A queue with one reader: `push` adds, `end` ends it behind what is in it, `fail` fails it
 * there. An iteration ends when its signal is aborted.
 *
 * @category models
 * @since 0.2.0
 */
export class ChunkQueue<Chunk> {
  #chunks: Array<Chunk> = []
  #ending: { readonly error?: unknown } | undefined
  #wake: () => void = () => {}

  push(...chunks: ReadonlyArray<Chunk>): void {
    if (this.#ending !== undefined) return
    this.#chunks.push(...chunks)
    this.#wake()
  }

  end(): void {
    this.#ending ??= {}
    this.#wake()
  }

  fail(error: unknown): void {
    this.#ending ??= { error }
    this.#wake()
  }

  /** What waits here, which is then nowhere. */
  takeAll(): ReadonlyArray<Chunk> {
    const chunks = this.#chunks
    this.#chunks = []
    return chunks
  }

  async *read(signal: AbortSignal | undefined, onEnd: () => void): AsyncGenerator<Chunk, void> {
    const wake = (): void => this.#wake()
    signal?.addEventListener("abort", wake)
    try {
      for (;;) {
        if (signal?.aborted === true) return
        const chunk = this.#chunks.shift()
        if (chunk !== undefined) yield chunk
        else if (this.#ending !== undefined) {
          if ("error" in this.#ending) throw this.#ending.error
          return
        } else {
          const { promise, resolve } = Promise.withResolvers<void>()
          this.#wake = resolve
          await promise
        }
      }
    } finally {
      signal?.removeEventListener("abort", wake)
      onEnd()
    }
  }
}
