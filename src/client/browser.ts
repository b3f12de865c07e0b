/**
 * What pages without a build of their own import: the client without Effect, which
 * the package holds bundled into one file, `dist/connect.js`.
 *
 * @since 0.2.0
 */
export { connect } from "./connect.ts"
export { CommandError } from "./driver/RunCommands.ts"
export * as PositionStorage from "./driver/PositionStorage.ts"
export { statusMessage } from "./session/StatusMessage.ts"
