/**
 * What a broker holds of one user's commands at most. A command past a bound is
 * refused as `tooMany`, and not remembered: nothing that was decided is forgotten
 * early. One whose data is too large is refused as `invalid`.
 *
 * @since 0.2.0
 */
import * as Command from "../../protocol/command/Command.ts"

/**
 * How many commands of a user may wait for their outcome.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxOpen = 64

/**
 * How many commands of a user are known at a time: those that wait, and those
 * whose outcome is remembered.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxKnown = 1_024

/**
 * About how many bytes the commands of a user may take at a time, in all.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxBytes = 1_048_576

/**
 * Why data of so many bytes of JSON is refused, if it is.
 *
 * @category limits
 * @since 0.2.0
 */
export const refusalOfData = (bytes: number): Command.Outcome | undefined =>
  bytes <= Command.maxDataBytes ? undefined : Command.refused("invalid", {
    path: "data",
    message: `it has ${bytes} bytes of JSON, and ${Command.maxDataBytes} are allowed`
  })
