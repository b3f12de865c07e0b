/**
 * What the questions ask of the processes that send, and of the one that receives.
 */
import * as Schema from "effect/Schema"
import { call } from "../harness/process.ts"

const Nothing = Schema.Struct({})

/**
 * How a receiver speaks with a server:
 *
 * - `ws`: the `ws` package, reading `events` frames, with no conversation;
 * - `emitter`: the `ws` package, speaking the whole protocol by hand;
 * - `sse`: server-sent events, read by hand;
 * - `client`: this package's own client;
 * - `socket.io`: socket.io-client;
 * - `socket.io, reconnecting`: the same, with its own way to come back after a connection is lost;
 * - `engine.io`: the `ws` package, with just enough of Engine.IO to keep a connection to Socket.IO open.
 */
export const Dialect = Schema.Literals([
  "ws",
  "emitter",
  "sse",
  "client",
  "socket.io",
  "socket.io, reconnecting",
  "engine.io"
])

export type Dialect = typeof Dialect.Type

/**
 * Opens a server on a free port of the loopback, for these users. `tickets` are what they prove themselves with.
 */
export const listen = call(
  "listen",
  Schema.Struct({ users: Schema.Array(Schema.String) }),
  Schema.Struct({ url: Schema.String, tickets: Schema.Array(Schema.String) })
)

/**
 * Sends the events `from` to `from + count - 1` to a user as fast as it can. `perFrame` tells those who choose frames
 * themselves how many events to put into one.
 */
export const send = call(
  "send",
  Schema.Struct({ user: Schema.String, from: Schema.Number, count: Schema.Number, perFrame: Schema.Number }),
  Schema.Struct({ startedAt: Schema.Number })
)

/**
 * Sends the events `from` to `from + count - 1`, each to the next of the users, over and over: as fast as it can, or so
 * many in a second.
 */
export const spread = call(
  "spread",
  Schema.Struct({
    users: Schema.Array(Schema.String),
    from: Schema.Number,
    count: Schema.Number,
    perSecond: Schema.optionalKey(Schema.Number)
  }),
  Schema.Struct({ startedAt: Schema.Number })
)

/**
 * Sends the probes `from` to `from + count - 1`, each to the next of the users, over and over, so many in a second.
 */
export const spreadProbes = call(
  "spreadProbes",
  Schema.Struct({
    users: Schema.Array(Schema.String),
    from: Schema.Number,
    count: Schema.Number,
    perSecond: Schema.Number
  }),
  Nothing
)

/**
 * Waits until the broker has all that was emitted. Tells when that was, how many events have been through the spool
 * since the process began, and how many were given up.
 */
export const drained = call(
  "drained",
  Nothing,
  Schema.Struct({ at: Schema.Number, spooled: Schema.Number, lost: Schema.Number })
)

/**
 * Sends `backgroundPerSecond` events, spread over all users, and `probesPerSecond` to the first user.
 */
export const pace = call(
  "pace",
  Schema.Struct({ backgroundPerSecond: Schema.Number, probesPerSecond: Schema.Number, seconds: Schema.Number }),
  Schema.Struct({ background: Schema.Number, probes: Schema.Number })
)

/**
 * Sends an event to each of all users, so many in a turn of the event loop.
 */
export const window = call(
  "window",
  Schema.Struct({ inTurn: Schema.Number }),
  Schema.Struct({ background: Schema.Number })
)

/**
 * How long turns of the event loop worked since this was last asked, in seconds: the longest, 99 of 100, the longest
 * without the garbage collected in it; and the longest pause for garbage.
 */
export const turns = call(
  "turns",
  Nothing,
  Schema.Struct({
    count: Schema.Number,
    longest: Schema.Number,
    p99: Schema.Number,
    longestWorking: Schema.Number,
    longestCollection: Schema.Number
  })
)

/**
 * The processor time, in seconds, that the process has used so far. Every process answers this.
 */
export const cpu = call("cpu", Nothing, Schema.Number)

/**
 * What the process holds after its garbage was collected, and how many connections it counts.
 */
export const memory = call(
  "memory",
  Nothing,
  Schema.Struct({ heap: Schema.Number, external: Schema.Number, resident: Schema.Number, connections: Schema.Number })
)

/**
 * Keeps this many events of a user, without sending them, for a receiver that comes back.
 */
export const keep = call(
  "keep",
  Schema.Struct({ user: Schema.String, count: Schema.Number }),
  Schema.Struct({ epoch: Schema.String, head: Schema.Number })
)

/**
 * Opens one connection for each user and waits until all of them are ready to receive. With `urls` each goes to an address
 * of its own.
 */
export const connect = call(
  "connect",
  Schema.Struct({
    dialect: Dialect,
    url: Schema.String,
    urls: Schema.optionalKey(Schema.Array(Schema.String)),
    users: Schema.Array(Schema.String),
    tickets: Schema.Array(Schema.String)
  }),
  Nothing
)

/**
 * From now on the connections of the first `users` must bring the events `from` to `from + count - 1`, each of them the
 * next of every `users` of these, in order and whole. `count` is a multiple of `users`.
 */
export const expect = call(
  "expect",
  Schema.Struct({ from: Schema.Number, count: Schema.Number, users: Schema.Number }),
  Nothing
)

/**
 * Waits until all expected events were received.
 */
export const received = call(
  "received",
  Nothing,
  Schema.Struct({ finishedAt: Schema.Number, frames: Schema.Number })
)

/**
 * Waits until this many probes and other events came since the last call. Gives how long each probe was on its way.
 */
export const latencies = call(
  "latencies",
  Schema.Struct({ probes: Schema.Number, background: Schema.Number }),
  Schema.Struct({ probes: Schema.Array(Schema.Number) })
)

/**
 * From now on it counts what its connections get of the probes from this one on.
 */
export const beginTally = call("beginTally", Schema.Struct({ from: Schema.Number }), Nothing)

/**
 * What came since, once that is `count` events or the time is up. `latencies` are in seconds.
 */
export const tally = call(
  "tally",
  Schema.Struct({ count: Schema.Number, withinSeconds: Schema.Number }),
  Schema.Struct({
    delivered: Schema.Number,
    doubled: Schema.Number,
    outOfOrder: Schema.Number,
    latencies: Schema.Array(Schema.Number)
  })
)

/**
 * Opens so many lines to a server, each with an address of its own.
 */
export const openLines = call(
  "openLines",
  Schema.Struct({ url: Schema.String, count: Schema.Number }),
  Schema.Struct({ urls: Schema.Array(Schema.String) })
)

/**
 * From now on each line loses its connections every so many seconds on average, and refuses others for a while.
 */
export const cutLines = call(
  "cutLines",
  Schema.Struct({ everySeconds: Schema.Number, offlineSeconds: Schema.Number }),
  Nothing
)

/**
 * Cuts no more lines, and tells how many cuts there were.
 */
export const mendLines = call("mendLines", Nothing, Schema.Struct({ cuts: Schema.Number }))

/**
 * Reconnects as a user who has seen all up to `offset`, and tells how long it took until everything up to `head` was
 * received and read.
 */
export const catchUp = call(
  "catchUp",
  Schema.Struct({
    dialect: Dialect,
    url: Schema.String,
    user: Schema.String,
    ticket: Schema.String,
    epoch: Schema.String,
    offset: Schema.Number,
    head: Schema.Number
  }),
  Schema.Struct({ seconds: Schema.Number, frames: Schema.Number })
)

/**
 * Plays so many pieces of text to each user, alone or in a whole run. `place` is the sum of the offsets to which their
 * logs have come.
 */
export const play = call(
  "play",
  Schema.Struct({ of: Schema.Literals(["text", "runs"]), pieces: Schema.Number }),
  Schema.Struct({ place: Schema.Number })
)

/**
 * Opens a connection for each ticket, which takes compressed frames.
 */
export const receive = call(
  "receive",
  Schema.Struct({
    over: Schema.Literals(["WebSocket", "SSE"]),
    url: Schema.String,
    tickets: Schema.Array(Schema.String)
  }),
  Nothing
)

/**
 * Waits until the devices have come to this sum of offsets, and gives theirs, with the bytes that came over their sockets.
 */
export const traffic = call(
  "traffic",
  Schema.Struct({ upTo: Schema.Number }),
  Schema.Struct({ place: Schema.Number, bytes: Schema.Number })
)
