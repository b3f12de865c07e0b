/**
 * How the demo's server answers what the page asks. All of it is JSON; errors are `{ "error": "…" }`, meant for the user.
 */
import { ByteSize, Effect, Redacted, Schema } from "effect"
import { HttpIncomingMessage, HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Authenticator } from "../../gateway/index.ts"

/** Room for the longest text, each character written as JSON's longest escape. */
const maxBody = ByteSize.mebibytes(2)

/** A request that is refused, with the status and the words of the answer. */
export class Refused
  extends Schema.TaggedError<Refused>()("Refused", { status: Schema.Natural, message: Schema.String })
{}

/** Refuses with this status, and says why. */
export const refuse = (status: number) => (error: { readonly message: string }) =>
  new Refused({ status, message: error.message })

/** An answer, which nobody keeps. */
export const json = (body: Schema.Json, status = 200) =>
  HttpServerResponse.jsonUnsafe(body, { status, headers: { "cache-control": "no-store" } })

/** The body of a request, or what is wrong with it. */
export const body = <A, RD>(schema: Schema.ConstraintDecoder<A, RD>, expected: string) =>
  HttpServerRequest.schemaBodyJson(schema).pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, maxBody),
    Effect.catchTags({
      SchemaError: () => new Refused({ status: 400, message: `The request must be JSON: ${expected}.` }),
      HttpServerError: ({ reason }) =>
        reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
          ? new Refused({ status: 413, message: "The request is too large." })
          : new Refused({ status: 400, message: `The request must be JSON: ${expected}.` })
    })
  )

/** Whose token came with the request. */
export const caller = Effect.gen(function*() {
  const { headers } = yield* HttpServerRequest.HttpServerRequest
  const token = /^Bearer +(\S+)$/iu.exec(headers["authorization"] ?? "")?.[1]
  if (token === undefined) return yield* new Refused({ status: 401, message: "A token is needed." })
  const authenticator = yield* Authenticator.Authenticator
  const principal = yield* authenticator.verify(Redacted.make(token)).pipe(
    Effect.catchTags({
      Unauthenticated: () => new Refused({ status: 401, message: "The token is not good any more. Reload the page." }),
      AuthenticatorUnavailable: refuse(503)
    })
  )
  return principal.userId
})

/** A route of the page's own requests. */
export const route = <R>(
  path: `/${string}`,
  handle: Effect.Effect<HttpServerResponse.HttpServerResponse, Refused, R>
) =>
  HttpRouter.add(
    "POST",
    path,
    Effect.catchTag(handle, "Refused", ({ message, status }) => Effect.succeed(json({ error: message }, status)))
  )
