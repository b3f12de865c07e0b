/**
 * Stands between a node and its Redis, and can keep publications from the connections that are open.
 */
import { Effect } from "effect"
import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"

export const redisProxy = (port: number) =>
  Effect.gen(function*() {
    const muted = new Set<Socket>()
    const sockets = new Set<Socket>()
    const server = createServer((near) => {
      const far = connect(port, "127.0.0.1")
      for (const socket of [near, far]) {
        sockets.add(socket)
        socket.on("error", () => socket.destroy())
        socket.on("close", () => {
          sockets.delete(socket)
          near.destroy()
          far.destroy()
        })
      }
      near.pipe(far)
      far.on("data", (data) => {
        if (!muted.has(near) || !data.includes("$7\r\nmessage\r\n")) near.write(data)
      })
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
    return {
      url: `redis://127.0.0.1:${address.port}`,
      /** From now on no publication comes through on what is open now; all else does. */
      mute: Effect.sync(() => {
        for (const socket of sockets) muted.add(socket)
      })
    }
  })
