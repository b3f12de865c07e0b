/**
 * What a gateway counts.
 *
 * @since 0.1.0
 */
import type * as HubStats from "../hub/Stats.ts"
import type * as Compression from "./compression/Counts.ts"
import type { Fate } from "./command/Commands.ts"
import type { StrangerKind } from "./admission/StrangerKind.ts"

/**
 * The hub's view, and what only the gateway sees: `sessions`, the sockets and
 * streams that are open (those that have not said hello included), `closed`, how
 * many were closed by this side, by name of close code, and whether new devices
 * are refused because the gateway is `draining`. `refused.rate` counts devices
 * that came too many at once, `refused.address` requests of addresses that sent
 * too many. `strangers` counts the sockets whose device is not
 * known, by kind, and `cut` those of them that were too many or stayed for too
 * long. `commands` counts the commands of devices by what became of them;
 * `openCommands` are those that are not decided yet. `compression` says what
 * compressing frames came to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats extends Omit<HubStats.Stats, "refused"> {
  readonly refused: Readonly<Record<HubStats.LimitScope | "rate" | "address", number>>
  readonly sessions: number
  readonly closed: Readonly<Record<string, number>>
  readonly draining: boolean
  readonly strangers: Readonly<Record<StrangerKind, number>>
  readonly cut: Readonly<Record<StrangerKind, number>>
  readonly commands: Readonly<Record<Fate, number>>
  readonly openCommands: number
  readonly compression: Compression.Counts
}
