/**
 * TanStack AI, for pages: a connection adapter for `@tanstack/ai-client`, of which it needs
 * the types alone. It loads no Effect. The server's end is `effect-emitter/ag-ui`.
 *
 * @since 0.2.0
 */
export { type AdapterOptions, EmitterConnectionAdapter } from "./EmitterConnectionAdapter.ts"
export type { GivenHeaders } from "../RunRequest.ts"
