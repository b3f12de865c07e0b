/**
 * A broker for many processes, in Postgres. Needs the package `@effect/sql-pg`.
 *
 * @since 0.2.0
 */
export * as PostgresBroker from "./PostgresBroker.ts"
