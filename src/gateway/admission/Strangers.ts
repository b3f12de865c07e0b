/**
 * The sockets of whom a gateway does not know yet whose they are, or that it
 * has refused: each kind is bounded in number and in time.
 *
 * - `silent`: accepted, and no request has come;
 * - `unauthenticated`: a request that is being identified, or a WebSocket whose
 *   hello has not been accepted;
 * - `refused`: an upgrade that was refused. Node keeps such a socket half open
 *   until its peer hangs up, which a hostile one never does.
 *
 * Where one more comes than a kind has room for, the oldest of it is cut. A
 * device that means well is known within a round trip or two, so a flood of
 * strangers cuts strangers.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { IncomingMessage } from "node:http"
import type { Http2ServerRequest } from "node:http2"
import type { Socket } from "node:net"
import type { StrangerKind } from "./StrangerKind.ts"

/**
 * How many strangers of a kind there may be, and for how long, in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limit {
  readonly count: number
  readonly ms: number
}

/**
 * The strangers of one kind, the oldest first.
 *
 * @category models
 * @since 0.1.0
 */
export class Room<A extends object> {
  private readonly held = new Map<A, number>()
  private readonly limit: Limit
  private readonly cut: (stranger: A) => void
  private cuts = 0

  constructor(limit: Limit, cut: (stranger: A) => void) {
    this.limit = limit
    this.cut = cut
  }

  /** How many there are. */
  get size(): number {
    return this.held.size
  }

  /** How many were cut, for there were too many or they stayed for too long. */
  get cutCount(): number {
    return this.cuts
  }

  /** One more came, at `now` in milliseconds. */
  add(stranger: A, now: number): void {
    this.held.set(stranger, now)
    for (const oldest of this.held.keys()) {
      if (this.held.size <= this.limit.count) return
      this.end(oldest)
    }
  }

  /** It is gone, or no stranger any more. */
  delete(stranger: A): void {
    this.held.delete(stranger)
  }

  /** The oldest of which this is so. */
  find(isIt: (stranger: A) => boolean): A | undefined {
    for (const stranger of this.held.keys()) {
      if (isIt(stranger)) return stranger
    }
    return undefined
  }

  /** Cuts those whose time is over: `ms` where there is less of it than there was. */
  tick(now: number, ms: number = this.limit.ms): void {
    for (const [oldest, since] of this.held) {
      if (now - since < ms) return
      this.end(oldest)
    }
  }

  private end(stranger: A): void {
    this.held.delete(stranger)
    this.cuts++
    this.cut(stranger)
  }
}

/**
 * A stranger that is not a bare socket, and how it is sent away.
 *
 * @category models
 * @since 0.1.0
 */
export interface Unauthenticated {
  readonly giveUp: () => void
}

/**
 * The strangers of one gateway. `now` tells the time in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export class Strangers {
  readonly silent: Room<Socket>
  readonly refused: Room<Socket>
  readonly unauthenticated: Room<Unauthenticated>
  private readonly now: () => number

  constructor(limits: Readonly<Record<StrangerKind, Limit>>, now: () => number) {
    this.silent = new Room(limits.silent, destroy)
    this.refused = new Room(limits.refused, destroy)
    this.unauthenticated = new Room(limits.unauthenticated, (stranger) => stranger.giveUp())
    this.now = now
  }

  /** A socket was accepted. */
  accept(socket: Socket): void {
    this.silent.add(socket, this.now())
  }

  /** Finds out who sent a request. The request is cut where others need its place. */
  identify<A, E>(request: IncomingMessage | Http2ServerRequest, look: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      const stranger = {
        giveUp: () => {
          if (request instanceof IncomingMessage) destroy(request.socket)
          else request.destroy()
        }
      }
      this.unauthenticated.add(stranger, this.now())
      return Effect.ensuring(look, Effect.sync(() => this.unauthenticated.delete(stranger)))
    })
  }

  /** An upgrade was answered with a refusal. */
  refuse(socket: Socket): void {
    if (socket.destroyed) return
    this.refused.add(socket, this.now())
    socket.once("close", () => this.refused.delete(socket))
  }

  /** Cuts those whose time is over. */
  tick(): void {
    const now = this.now()
    this.silent.tick(now)
    this.refused.tick(now)
    this.unauthenticated.tick(now)
  }
}

const destroy = (socket: Socket): void => {
  socket.destroy()
}
