/**
 * Looks whether frames are compressed as whoever set it up means them to be.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as GatewayConfig from "../../gateway/GatewayConfig.ts"
import { type Finding, note, warning } from "../output/Finding.ts"
import * as VariableNames from "./VariableNames.ts"

/**
 * What there is to say of compression: nothing where none of its settings is set, or
 * they cannot be used, which another finding tells.
 *
 * @category operations
 * @since 0.2.0
 */
export const check: Effect.Effect<ReadonlyArray<Finding>> = Effect.gen(function*() {
  const variables = yield* VariableNames.set("GATEWAY")
  if (!variables.some((name) => name.startsWith("GATEWAY_COMPRESSION_"))) return []
  const config = yield* Effect.option(GatewayConfig.read(GatewayConfig.config))
  if (config._tag === "None") return []
  const { contextTakeover, enabled, memory, threshold } = config.value.compression
  if (!enabled) {
    return [
      warning(
        "compression",
        "its settings are set, and frames are not compressed",
        "set GATEWAY_COMPRESSION_ENABLED=true, or unset the others"
      )
    ]
  }
  const how = contextTakeover ? "each may refer to those before it" : "each by itself"
  const mebibytes = Math.round(memory / 1024 / 1024)
  return [
    note(
      "compression",
      `frames of ${threshold} bytes or more are compressed, ${how}, within ${mebibytes} MiB; ` +
        "no secret may stand beside what a stranger wrote, since the length gives it away"
    )
  ]
})
