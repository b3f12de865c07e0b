/**
 * Where a user's log lies in Redis. All keys of a user carry the hash tag
 * `{user}`, so that one script may touch them, also on a cluster.
 *
 * - `log`: a stream of blocks of events (see `Block`);
 * - `meta`: a hash of what is known of the log (its field ` `, see `LogState`), the
 *   highest acknowledged offset (` ack`), the latest of them behind their epoch
 *   (` acks`), and from run to where it stands (see `StandingLua`). No run's name has a
 *   space;
 * - `sources`: a hash from source to the numbers taken (see `SourcesLua`); those of the
 *   source of the last event stand in the state of the log;
 * - `runs`: a hash from run to its folded state at the checkpoint (see
 *   `CheckpointLua`);
 * - `readers`: a hash from process to its number of readers and until when it
 *   counts, `number:milliseconds`;
 * - `revoked`: when the user's access was last revoked, in milliseconds;
 * - `late`: a hash from emitter to until when it may hold events of the user that
 *   come late, in milliseconds;
 * - `commands`: a hash from the id of each command that is open to itself, and
 *   `outcomes` from the id of each that was decided to what became of it (see
 *   `CommandLua`);
 * - `claim:` and a run: the lease whose process begins that run (see `ClaimLua`).
 *
 * The processes' leases have the hash tag `{leases}` (see `LeaseLua`), and so have
 * their mailboxes: hashes from each user of whom a command waits there to the
 * number of the last.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { outcomeMemoryMs } from "../../../protocol/command/Command.ts"
import type { RunId, UserId } from "../../../protocol/values/Identity.ts"
import type { Options, ServerOptions } from "../connection/Options.ts"

/**
 * The keys of a log, in the order in which scripts take them.
 *
 * @category models
 * @since 0.1.0
 */
export const ofLog = (prefix: string, user: UserId): ReadonlyArray<string> =>
  ["log", "meta", "sources", "runs"].map((part) => `${prefix}:{${user}}:${part}`)

/**
 * The key of what is known of a log, and of where its runs stand.
 *
 * @category models
 * @since 0.2.0
 */
export const ofMeta = (prefix: string, user: UserId): string => `${prefix}:{${user}}:meta`

/**
 * The keys of the leases, with the users of one.
 *
 * @category models
 * @since 0.1.0
 */
export const ofLeases = (prefix: string, lease: string) => ({
  alive: `${prefix}:{leases}:alive`,
  claimed: `${prefix}:{leases}:claimed`,
  gone: `${prefix}:{leases}:gone`,
  users: `${prefix}:{leases}:users:${lease}`
})

/**
 * The version of the layout that is described here. Another one in a server's
 * keys is refused.
 *
 * @category constants
 * @since 0.1.0
 */
export const layout = "5"

/**
 * Where the version of the layout is kept.
 *
 * @category models
 * @since 0.1.0
 */
export const ofLayout = (prefix: string): string => `${prefix}:{leases}:layout`

/**
 * The key of a user's readers, by process.
 *
 * @category models
 * @since 0.1.0
 */
export const ofReaders = (prefix: string, user: UserId): string => `${prefix}:{${user}}:readers`

/**
 * The key of the time since which a user's access is revoked.
 *
 * @category models
 * @since 0.1.0
 */
export const ofRevoked = (prefix: string, user: UserId): string => `${prefix}:{${user}}:revoked`

/**
 * The key of the emitters that hold events of a user back.
 *
 * @category models
 * @since 0.1.0
 */
export const ofLate = (prefix: string, user: UserId): string => `${prefix}:{${user}}:late`

/**
 * The key of who begins a run of a user.
 *
 * @category models
 * @since 0.2.0
 */
export const ofClaim = (prefix: string, user: UserId, run: RunId): string => `${prefix}:{${user}}:claim:${run}`

/**
 * The keys of a user's commands: those that are open, and what became of others.
 *
 * @category models
 * @since 0.2.0
 */
export const ofCommands = (prefix: string, user: UserId): readonly [commands: string, outcomes: string] => [
  `${prefix}:{${user}}:commands`,
  `${prefix}:{${user}}:outcomes`
]

/**
 * For how long, in milliseconds, the keys of commands stay when nobody touches them:
 * twice as long as an outcome is remembered.
 *
 * @category models
 * @since 0.2.0
 */
export const commandsMs = 2 * outcomeMemoryMs

/**
 * The key of a process's mailbox.
 *
 * @category models
 * @since 0.2.0
 */
export const ofMailbox = (prefix: string, process: string): string => `${prefix}:{leases}:mail:${process}`

/**
 * How the channels of processes begin; the name of the process follows. One is told
 * there of commands that wait for it, and of what became of those that it sent.
 *
 * @category models
 * @since 0.2.0
 */
export const ofProcesses = ({ database, prefix }: Pick<ServerOptions, "database" | "prefix">): string =>
  `${prefix}:${database}:process:`

/**
 * The key that a canary writes. It is nobody's.
 *
 * @category models
 * @since 0.1.0
 */
export const ofCanary = (prefix: string): string => `${prefix}:canary`

/**
 * The channel on which a user's readers and waiters are woken. Channels are of a
 * whole server, keys of one of its databases: so the channel carries its number.
 *
 * @category models
 * @since 0.1.0
 */
export const ofChannel = ({ database, prefix }: Pick<ServerOptions, "database" | "prefix">, user: UserId): string =>
  `${prefix}:${database}:{${user}}:wake`

/**
 * How often within its time to live a log that is written to renews it.
 *
 * @category models
 * @since 0.1.0
 */
export const renewals = 16

/**
 * For how long the keys of a user stay when nobody touches them: longer than
 * its events, and than it takes to see that somebody still reads, also when it
 * was not renewed lately.
 *
 * @category models
 * @since 0.1.0
 */
export const ttlMs = ({ maxAge, poll }: Pick<Options, "maxAge" | "poll">): number =>
  Math.ceil((Duration.toMillis(maxAge) + 3 * Duration.toMillis(poll)) * (renewals / (renewals - 1)))
