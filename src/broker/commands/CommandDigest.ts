/**
 * Tells whether two commands ask the same, so that an id is not used for two.
 *
 * @since 0.2.0
 */
import { hash } from "node:crypto"
import type { SentCommand } from "../Broker.ts"

/**
 * 43 characters that are the same for commands with the same run, name and data, as
 * a device writes them each time it sends them.
 *
 * @category getters
 * @since 0.2.0
 */
export const digestOf = ({ data, name, run }: SentCommand): string =>
  hash("sha256", JSON.stringify([run, name, data]), "base64url")

/**
 * How many bytes of JSON the data of a command has.
 *
 * @category getters
 * @since 0.2.0
 */
export const dataBytes = ({ data }: SentCommand): number =>
  data === undefined ? 0 : Buffer.byteLength(JSON.stringify(data))
