/**
 * A WebSocket class over the model server, and what of the program's may throw.
 */
import type { SocketConstructor } from "effect-emitter/client"
import { FakeSocket } from "./FakeSocket.ts"
import { type Dice, type ModelServer, ServerSocket } from "./ModelServer.ts"
import type { ClientFrame } from "../../src/client/transport/ClientFrame.ts"

/** Throws, or rejects, once in a while. */
export class Trouble {
  readonly dice: Dice
  chance: number
  thrown = 0

  constructor(dice: Dice, chance: number) {
    this.dice = dice
    this.chance = chance
  }

  /** Throws at random. */
  throws(): void {
    if (this.dice.chance(this.chance)) throw this.error()
  }

  /** Throws at random, or returns a promise that is rejected, as a handler that is an async function does. */
  fails(): void {
    this.throws()
    if (!this.dice.chance(this.chance)) return
    const rejected: unknown = Promise.reject(this.error())
    // The type of a handler allows any result, though it promises to look at none.
    return rejected as void
  }

  private error(): Error {
    this.thrown += 1
    return new Error(`trouble ${this.thrown}`)
  }
}

/** Sockets to the model server whose constructor, `send` and `close` may throw. */
export const modelSockets = (server: ModelServer, trouble: Trouble) => {
  const open: Array<ModelSocket> = []
  class ModelSocket extends FakeSocket {
    readonly peer = new ServerSocket()

    constructor(url: string, protocol: string) {
      trouble.throws()
      super(url, protocol)
      open.push(this)
    }

    override send(data: string): void {
      trouble.throws()
      const frame: ClientFrame = JSON.parse(data)
      server.receive(this.peer, frame)
    }

    override close(code?: number, reason?: string): void {
      super.close(code, reason)
      if (open.includes(this)) open.splice(open.indexOf(this), 1)
      trouble.throws()
    }

    override drop(code = 1006, reason = ""): void {
      if (open.includes(this)) open.splice(open.indexOf(this), 1)
      super.drop(code, reason)
    }

    private opened = false

    /** The socket opens, or a frame comes through. */
    advance(): void {
      if (!this.opened) {
        this.opened = true
        return this.open()
      }
      const frame = this.peer.frames.shift()
      if (frame !== undefined) this.push(frame)
    }
  }
  const WebSocket: SocketConstructor = ModelSocket
  return { WebSocket, current: () => open.at(-1), open }
}
