/**
 * Settings of clusters under test: what takes seconds in production takes less here, so that a fault and its end fit into
 * a short run.
 */
/** The servers that a cluster may keep its logs in. */
export const servers = ["redis", "postgres"] as const

/** What logs are kept in: such a server, or the file of one process. */
export const brokers = [...servers, "sqlite"] as const

export type Broker = typeof brokers[number]

/** The server keeps every event on its disk, and users' logs are kept whole. */
export const options = {
  prefix: "cluster",
  deadline: "1 second",
  silence: "2 seconds",
  poll: "2 seconds",
  lease: "8 seconds",
  maxEvents: 200_000,
  maxBytes: 256 * 1024 * 1024
} as const

/** Devices are noticed, and notice, within a few seconds. */
export const gatewayOptions = {
  path: "/events",
  origins: "any",
  heartbeat: "2 seconds",
  drainTimeout: "2 seconds",
  reconnectSpread: "500 millis",
  framesPerSecond: 500,
  connections: { perUser: 1_000 }
} as const
