import type { Gap, Snapshot, Welcome, WireEvent } from "../../src/protocol/wire/Frame.ts"
import type { Position } from "../../src/protocol/values/Position.ts"

export interface PlainClient {
  /** Where a later client may go on. */
  readonly position: () => Position | undefined
  /** Asks something of a run, and gives the answer as it came. */
  readonly command: (
    run: string,
    name: string,
    data?: unknown,
    id?: string
  ) => Promise<{ readonly outcome: string; readonly reason?: string; readonly path?: string }>
  /** Loses the connection. */
  readonly cut: () => void
  readonly close: () => void
}

export interface Options {
  readonly url: string
  /** A token; `refused` tells that the last one was not taken. Without a new one, `undefined`. */
  readonly getToken: (refused: boolean) => Promise<string | undefined>
  readonly threads?: ReadonlyArray<string> | undefined
  /** Of how many runs that are not active the state is wanted, besides that of those that are. */
  readonly recent?: number | undefined
  readonly position?: Position | undefined
  readonly onEvent: (event: typeof WireEvent.Encoded) => void
  readonly onGap?: (gap: typeof Gap.Encoded) => void
  readonly onSnapshot?: (snapshot: typeof Snapshot.Encoded) => void
  readonly onStatus?: (
    ...status:
      | [status: "connecting"]
      | [status: "live", welcome?: typeof Welcome.Encoded]
      | [status: "degraded"]
      | [status: "waiting", why: { readonly code: number; readonly wait: number }]
      | [status: "stopped", why?: { readonly code: number }]
      | [status: "complaint", frame: { readonly code: string; readonly message: string }]
      | [status: "fault", error: Error]
  ) => void
}

export const connect: (options: Options) => PlainClient
