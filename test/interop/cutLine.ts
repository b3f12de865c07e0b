/**
 * A line to a server whose first connection is cut once so many bytes of what the server says have come through.
 */
import { Effect, type Scope } from "effect"
import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"

export interface CutLine {
  readonly port: number
  /** How many connections were made. */
  readonly connections: () => number
}

export const cutLine = (port: number, bytes: number): Effect.Effect<CutLine, never, Scope.Scope> =>
  Effect.gen(function*() {
    const sockets = new Set<Socket>()
    let connections = 0
    const server = createServer((near) => {
      const isFirst = connections++ === 0
      let left = isFirst ? bytes : Number.POSITIVE_INFINITY
      const far = connect(port, "127.0.0.1")
      for (const [socket, other] of [[near, far], [far, near]] as const) {
        sockets.add(socket)
        socket.on("error", () => socket.destroy())
        socket.on("close", () => {
          sockets.delete(socket)
          other.destroy()
        })
      }
      near.on("data", (data) => far.write(data))
      far.on("data", (data) => {
        const through = data.subarray(0, left)
        left -= through.length
        if (left > 0) return void near.write(through)
        near.write(through, () => near.destroy())
      })
      if (left === 0) near.destroy()
    })
    yield* Effect.acquireRelease(
      Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
      () =>
        Effect.sync(() => {
          for (const socket of sockets) socket.destroy()
          server.close()
        })
    )
    const address = server.address()
    if (address === null || typeof address === "string") throw new Error("no port")
    return { port: address.port, connections: () => connections }
  })
