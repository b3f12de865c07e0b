/**
 * A broker for many processes, over Redis. Needs the package `redis`.
 *
 * @since 0.1.0
 */
export * as RedisBroker from "./RedisBroker.ts"
