/**
 * What language models stream, as events of a run: `effect-emitter/ai`.
 *
 * @since 0.2.0
 */
export * as EmitterAi from "./EmitterAi.ts"
