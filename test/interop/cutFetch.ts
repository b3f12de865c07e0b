/**
 * A `fetch` whose answers are cut, for clients in processes of their own: a socket that is cut can end such a process, unless
 * it is told to live on.
 */
export const cutBehind = (bytes: number): typeof fetch => async (input, init) => {
  const response = await fetch(input, init)
  let left = bytes
  const cut = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      controller.enqueue(chunk.subarray(0, left))
      left -= chunk.length
      if (left <= 0) controller.error(new TypeError("terminated"))
    }
  })
  return new Response(response.body?.pipeThrough(cut) ?? null, { status: response.status, headers: response.headers })
}

/** What a cut socket throws where nobody listens ends this process no more. */
export const surviveCuts = (): void => {
  process.on("uncaughtException", () => {})
  process.on("unhandledRejection", () => {})
}
