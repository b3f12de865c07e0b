/**
 * The devices' side of a server: serves events over HTTP.
 *
 * @since 0.1.0
 */
export * as Admission from "./admission/Admission.ts"
export * as Authenticator from "./authentication/Authenticator.ts"
export * as ClientScript from "./ClientScript.ts"
export * as CommandPolicy from "./command/CommandPolicy.ts"
export * as Gateway from "./Gateway.ts"
export * as GatewayConfig from "./GatewayConfig.ts"
export * as Operations from "./operations/Operations.ts"
