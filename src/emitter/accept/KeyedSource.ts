/**
 * Names of events that are to be in their user's log once: each is the only event
 * of a source of its own, whose name is made of the user, the run and the key. So
 * whoever emits it again, in this process or another, names it alike, and the
 * broker takes it once.
 *
 * @since 0.1.0
 */
import { hash } from "node:crypto"
import type { EmissionContext } from "../../protocol/values/Identity.ts"

const prefix = "key-"

// 128 bits: two keys of one user do not meet.
const digits = 32

/**
 * The number of the one event of such a source.
 *
 * @category constants
 * @since 0.1.0
 */
export const onlySequence = 1

/**
 * The source in the id of an event, if it was emitted with a key.
 *
 * @category getters
 * @since 0.1.0
 */
export const keyedSourceIn = (id: string): string | undefined =>
  id.startsWith(prefix) ? id.slice(0, -String(onlySequence).length) : undefined

/**
 * The source of the event with this key.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyedSource = ({ runId, userId }: Pick<EmissionContext, "runId" | "userId">, key: string): string =>
  `${prefix}${hash("sha256", JSON.stringify([userId, runId ?? null, key]), "hex").slice(0, digits)}-`
