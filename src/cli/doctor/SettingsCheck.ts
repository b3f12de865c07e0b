/**
 * Looks at the settings in the environment: those that cannot be used, and those
 * that nothing reads.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as EmitterConfig from "../../emitter/EmitterConfig.ts"
import * as AuthenticatorOptions from "../../gateway/authentication/AuthenticatorOptions.ts"
import * as GatewayConfig from "../../gateway/GatewayConfig.ts"
import type { ConfigError } from "../../protocol/settings/ConfigError.ts"
import * as Backends from "../backend/Backends.ts"
import { fault, type Finding, note, ok, warning } from "../output/Finding.ts"
import * as VariableNames from "./VariableNames.ts"

interface Part {
  readonly prefix: string
  readonly schema: Schema.Top
  readonly read: Effect.Effect<unknown, ConfigError>
}

const parts: ReadonlyArray<Part> = [
  { prefix: "EMITTER", schema: EmitterConfig.EmitterConfig, read: EmitterConfig.read(EmitterConfig.config) },
  { prefix: "GATEWAY", schema: GatewayConfig.GatewayConfig, read: GatewayConfig.read(GatewayConfig.config) },
  {
    prefix: "JWT",
    schema: AuthenticatorOptions.JwtSchema,
    read: AuthenticatorOptions.readJwt(AuthenticatorOptions.jwtConfig)
  },
  {
    prefix: "JWKS",
    schema: AuthenticatorOptions.JwksSchema,
    read: AuthenticatorOptions.readJwks(AuthenticatorOptions.jwksConfig)
  },
  ...Backends.entries
]

const ofError = ({ prefix }: Part, { issues }: ConfigError): ReadonlyArray<Finding> =>
  issues.map(({ message, path, remedy, value }) => {
    const name = path === "" ? `${prefix}_…` : VariableNames.nameOf([prefix, ...path.split(".")])
    const shown = value === undefined ? "" : ` (it is ${value})`
    return fault("settings", `${name}: ${message}${shown}`, remedy.startsWith("set ") ? remedy : `${remedy}: ${name}`)
  })

const ofPart = Effect.fnUntraced(function*(part: Part): Effect.fn.Return<ReadonlyArray<Finding>> {
  const variables = yield* VariableNames.set(part.prefix)
  if (variables.length === 0) return []
  const wrong = yield* Effect.match(part.read, {
    onFailure: (error) => ofError(part, error),
    onSuccess: () => []
  })
  const known = VariableNames.known(part.schema, part.prefix)
  const strange = variables.filter((variable) =>
    !known.some(({ isOpen, name }) => name === variable || (isOpen && variable.startsWith(`${name}_`)))
  )
  const misspelt = strange.map((variable) => {
    const meant = VariableNames.nearest(variable, known)
    return warning(
      "settings",
      `${variable} is set, and nothing reads it`,
      meant === undefined ? "unset it, if it was meant for effect-emitter" : `write ${meant}, or unset it`
    )
  })
  const findings = [...wrong, ...misspelt]
  return findings.length > 0 ? findings : [ok("settings", `${part.prefix}_…: ${variables.length} set`)]
})

/**
 * All findings about settings.
 *
 * @category operations
 * @since 0.2.0
 */
export const check: Effect.Effect<ReadonlyArray<Finding>> = Effect.gen(function*() {
  const findings = (yield* Effect.forEach(parts, ofPart)).flat()
  const configured = yield* Backends.configured
  const broker = configured.length > 0 ? [] : [
    note(
      "settings",
      "no broker is set (REDIS_URL, POSTGRES_URL, SQLITE_FILE): events stay in the memory of one process"
    )
  ]
  return [...findings, ...broker]
})
