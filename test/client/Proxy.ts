/**
 * A network that a test can break: it passes bytes between clients and a server until it is told not to.
 */
import { Effect } from "effect"
import * as net from "node:net"

type Fate = "pass" | "refuse" | "swallow" | "down"

export interface Proxy {
  readonly port: number
  /** Resets every connection. */
  readonly cut: () => void
  /** Passes nothing on, and tells nobody: connections stay half open. */
  readonly hold: () => void
  /** Passes on again, new connections only. */
  readonly release: () => void
  /**
   * What becomes of handshakes: passed on, refused as by a proxy that knows no WebSocket, or never answered. With `down`
   * every request is refused, as by a proxy whose server is away.
   */
  readonly upgrades: (fate: Fate) => void
  /** How many connections came in all, and how many there are. */
  readonly stats: () => { readonly total: number; readonly open: number }
}

/** With `cutBehind` the first connection ends once so many bytes of what the server says have come through. */
export const proxyTo = (port: () => number, cutBehind = Number.POSITIVE_INFINITY) =>
  Effect.acquireRelease(
    Effect.callback<Proxy & { readonly server: net.Server }>((resume) => {
      const pairs = new Set<readonly [net.Socket, net.Socket]>()
      let holding = false
      let fate: Fate = "pass"
      let total = 0
      const server = net.createServer((near) => {
        total += 1
        let left = total === 1 ? cutBehind : Number.POSITIVE_INFINITY
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
            if (holding) return
            const isUpgrade = fate !== "pass" && from === near && /^upgrade: *websocket/im.test(String(bytes))
            if ((fate === "refuse" && isUpgrade) || (fate === "down" && from === near)) {
              near.end("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
            } else if (fate !== "swallow" || !isUpgrade) {
              const through = from === far ? bytes.subarray(0, left) : bytes
              if (from === far) left -= through.length
              if (left > 0) to.write(through)
              else to.write(through, end)
            }
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
          upgrades: (next) => {
            fate = next
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
