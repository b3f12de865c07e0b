/**
 * AG-UI: `effect-emitter/ag-ui/client`, for pages. It needs `@ag-ui/client` and `rxjs`, and
 * loads no Effect.
 *
 * @since 0.2.0
 */
export { EmitterAgent, type EmitterAgentConfig } from "./EmitterAgent.ts"
export type { GivenHeaders } from "../RunRequest.ts"
