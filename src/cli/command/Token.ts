/**
 * `effect-emitter token`: a token for development, signed with `JWT_SECRET`.
 *
 * @since 0.2.0
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { SignJWT } from "jose"
import * as AuthenticatorOptions from "../../gateway/authentication/AuthenticatorOptions.ts"
import { Failed } from "../output/Failed.ts"
import { out, told, user } from "./Shared.ts"

const single = (values: string | ReadonlyArray<string> | undefined): string | undefined =>
  typeof values === "string" ? values : values?.[0]

const longest = 365 * 24 * 3600

const Lifetime = Schema.DurationFromString.check(
  Schema.makeFilter((lifetime: Duration.Duration) => {
    const seconds = Duration.toSeconds(lifetime)
    return seconds >= 1 && seconds <= longest ? undefined : "a time from 1 second to 365 days"
  })
)

/**
 * The command.
 *
 * @category constructors
 * @since 0.2.0
 */
export const token = Command.make(
  "token",
  {
    user,
    lifetime: Flag.String("lifetime").pipe(
      told("For how long it is good, such as \"10 minutes\"", "1 hour"),
      Flag.withSchema(Lifetime),
      Flag.withDefault(Duration.hours(1))
    )
  },
  Effect.fnUntraced(function*({ lifetime, user: of }) {
    const to = yield* out
    const stage = yield* Effect.orDie(Config.option(Config.String("NODE_ENV")))
    if (Option.contains(stage, "production")) {
      return yield* new Failed({
        exit: "usage",
        message: "This is production (NODE_ENV): tokens come from your identity provider",
        remedy: "make tokens in development alone"
      })
    }
    const options = yield* AuthenticatorOptions.readJwt(AuthenticatorOptions.jwtConfig)
    const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const expiresAt = now + Math.ceil(Duration.toSeconds(lifetime))
    const [issuer, audience] = [single(options.issuer), single(options.audience)]
    const claims = {
      [options.userClaim]: of,
      iat: now,
      exp: expiresAt,
      ...(issuer === undefined ? {} : { iss: issuer }),
      ...(audience === undefined ? {} : { aud: audience })
    }
    const key = new TextEncoder().encode(Redacted.value(options.secret))
    const text = yield* Effect.promise(() => new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).sign(key))
    yield* to.value({ user: of, token: text, expiresAt: expiresAt * 1000 })
    yield* to.line(text)
  })
).pipe(
  Command.withDescription(
    "Makes a token for a user, for development: signed with JWT_SECRET, with JWT_ISSUER and JWT_AUDIENCE where they are set. Refuses where NODE_ENV is production."
  ),
  Command.withExamples([
    { command: "JWT_SECRET=… effect-emitter token ada --lifetime \"10 minutes\"", description: "A token of ada's" }
  ])
)
