/**
 * The secret that the demo's tokens are signed with, which all of its processes share.
 */
import { Effect, Redacted } from "effect"
import { randomBytes } from "node:crypto"

/** Makes one. */
export const make: Effect.Effect<Redacted.Redacted> = Effect.sync(() => Redacted.make(randomBytes(32).toString("hex")))
