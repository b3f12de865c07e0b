/**
 * What the tabs of one browser say to each other on their channel. Each tab hears all
 * of it; what has a `to` is for one of them.
 *
 * @since 0.2.0
 */
import type { Position } from "../../protocol/values/Position.ts"
import type { ClientFrame } from "../transport/ClientFrame.ts"

/**
 * What a tab says to whoever leads. `from` names the tab's connection.
 *
 * - `hello`: it wants to go on from `position`, with events of these threads only. It
 *   also asks whether there is a leader.
 * - `probe`: it asks whether the leader is there.
 * - `here`: the answer to `ask`.
 * - `sent`: a frame for the gateway.
 * - `bye`: it has gone; where it `renews`, since the connection may only look alive.
 *
 * @category models
 * @since 0.2.0
 */
export type ToLeader =
  & { readonly from: string }
  & (
    | {
      readonly type: "hello"
      readonly position: Position
      readonly threads: ReadonlyArray<string> | undefined
    }
    | { readonly type: "probe" }
    | { readonly type: "here" }
    | { readonly type: "sent"; readonly frame: ClientFrame }
    | { readonly type: "bye"; readonly renews?: boolean }
  )

/**
 * What a leader says. `leader` names its leadership.
 *
 * - `lead`: it leads from now on.
 * - `alive`: the answer to `hello` and `probe`.
 * - `joined`: the tab takes part: the frames that bring it from its position to where
 *   the leader is, a `welcome` first.
 * - `alone`: what is missing after the tab's position is not kept here.
 * - `frame`: the next frame of the gateway.
 * - `ask`: whether the tabs are there.
 * - `down`: the connection is lost, as a socket is closed.
 *
 * @category models
 * @since 0.2.0
 */
export type ToTab =
  & { readonly leader: string; readonly to?: string }
  & (
    | { readonly type: "lead" }
    | { readonly type: "alive"; readonly to: string }
    | { readonly type: "joined"; readonly to: string; readonly frames: ReadonlyArray<string> }
    | { readonly type: "alone"; readonly to: string }
    | { readonly type: "frame"; readonly frame: string }
    | { readonly type: "ask" }
    | { readonly type: "down"; readonly code: number; readonly reason: string }
  )

/**
 * Either.
 *
 * @category models
 * @since 0.2.0
 */
export type Message = ToLeader | ToTab

/**
 * Whether a message of the channel is one of these: a page of another version of the
 * program names its channel differently.
 *
 * @category guards
 * @since 0.2.0
 */
export const isMessage = (data: unknown): data is Message =>
  typeof data === "object" && data !== null && "type" in data && typeof data.type === "string" &&
  ("leader" in data || "from" in data)
