/**
 * The smallest server of the protocol on real sockets: the model server behind `ws`.
 */
import { Effect } from "effect"
import type { ClientFrame } from "../../src/client/transport/ClientFrame.ts"
import { type WebSocket, WebSocketServer } from "ws"
import { Dice, ModelServer, ServerSocket } from "./ModelServer.ts"

export interface TinyServer {
  readonly port: number
  readonly append: (count: number) => void
  /** Closes every connection with this code. */
  readonly close: (code: number) => void
  /** Called for each connection once it was welcomed. */
  onWelcomed: () => void
  readonly open: () => number
}

export const tinyServer = (seed: number) =>
  Effect.acquireRelease(
    Effect.callback<TinyServer & { readonly server: WebSocketServer }>((resume) => {
      const model = new ModelServer(new Dice(seed))
      const sockets = new Map<WebSocket, ServerSocket>()
      const flush = (socket: WebSocket, state: ServerSocket) => {
        for (let before = -1; before !== state.cursor?.offset && state.cursor !== undefined;) {
          before = state.cursor.offset
          model.pump(state)
        }
        for (const frame of state.frames.splice(0)) {
          socket.send(typeof frame === "string" ? frame : JSON.stringify(frame))
        }
      }
      const server = new WebSocketServer({ port: 0, host: "127.0.0.1" }, () => {
        const address = server.address()
        const tiny: TinyServer & { readonly server: WebSocketServer } = {
          server,
          port: typeof address === "object" && address !== null ? address.port : 0,
          append: (count) => {
            model.append(count)
            for (const [socket, state] of sockets) flush(socket, state)
          },
          close: (code) => {
            for (const socket of sockets.keys()) socket.close(code)
          },
          onWelcomed: () => {},
          open: () => server.clients.size
        }
        server.on("connection", (socket) => {
          const state = new ServerSocket()
          sockets.set(socket, state)
          socket.on("message", (bytes) => {
            const frame: ClientFrame = JSON.parse(String(bytes))
            model.receive(state, frame)
            flush(socket, state)
            if (frame.type === "hello") tiny.onWelcomed()
          })
          socket.on("error", () => socket.terminate())
          socket.on("close", () => sockets.delete(socket))
        })
        resume(Effect.succeed(tiny))
      })
    }),
    ({ server }) =>
      Effect.callback<void>((resume) => {
        for (const socket of server.clients) socket.terminate()
        server.close(() => resume(Effect.void))
      })
  )
