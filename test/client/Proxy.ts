/**
 * A network that a test can break: it passes bytes between clients and a server until it is told not to.
 */
import { Effect } from "effect"
import * as net from "node:net"

export interface Proxy {
  readonly port: number
  /** Resets every connection. */
  readonly cut: () => void
  /** Passes nothing on, and tells nobody: connections stay half open. */
  readonly hold: () => void
  /** Passes on again, new connections only. */
  readonly release: () => void
  /** How many connections came in all, and how many there are. */
  readonly stats: () => { readonly total: number; readonly open: number }
}

export const proxyTo = (port: () => number) =>
  Effect.acquireRelease(
    Effect.callback<Proxy & { readonly server: net.Server }>((resume) => {
      const pairs = new Set<readonly [net.Socket, net.Socket]>()
      let holding = false
      let total = 0
      const server = net.createServer((near) => {
        total += 1
        const far = net.connect(port(), "127.0.0.1")
        const pair = [near, far] as const
        pairs.add(pair)
        const end = () => {
          pairs.delete(pair)
          near.destroy()
          far.destroy()
        }
        for (const [from, to] of [[near, far], [far, near]] as const) {
          from.on("data", (bytes) => {
            if (!holding) to.write(bytes)
          })
          from.on("error", end)
          from.on("close", end)
        }
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed({
          server,
          port: typeof address === "object" && address !== null ? address.port : 0,
          cut: () => {
            for (const [near, far] of pairs) {
              near.resetAndDestroy()
              far.resetAndDestroy()
            }
          },
          hold: () => {
            holding = true
          },
          release: () => {
            holding = false
          },
          stats: () => ({ total, open: pairs.size })
        }))
      })
    }),
    ({ cut, server }) =>
      Effect.callback<void>((resume) => {
        cut()
        server.close(() => resume(Effect.void))
      })
  )
