/**
 * Runs for the clients of AG-UI, on the server. What a page needs is in
 * `effect-emitter/ag-ui/client`.
 *
 * @since 0.2.0
 */
export * as AgUi from "./AgUi.ts"
export type * as AgUiEvents from "./AgUiEvents.ts"
export * as AgUiMapping from "./AgUiMapping.ts"
export * as RunAgentInput from "./RunAgentInput.ts"
