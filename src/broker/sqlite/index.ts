/**
 * A broker that keeps the logs in a file, for one process, over Node's own
 * `node:sqlite`.
 *
 * @since 0.2.0
 */
export * as SqliteBroker from "./SqliteBroker.ts"
