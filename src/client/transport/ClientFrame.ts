/**
 * The client's frames as it writes them: the shapes of `Frame`, without its
 * schemas.
 *
 * @since 0.1.0
 */
import type { Ack, Command, Hello, Pong, Token } from "../../protocol/wire/Frame.ts"

/**
 * A command as a client writes it.
 *
 * @category models
 * @since 0.2.0
 */
export type CommandFrame = typeof Command.Encoded

/**
 * Every frame a client sends.
 *
 * @category models
 * @since 0.1.0
 */
export type ClientFrame =
  | Omit<typeof Hello.Encoded, "threads"> & { readonly threads?: ReadonlyArray<string> }
  | typeof Ack.Encoded
  | typeof Pong.Encoded
  | typeof Token.Encoded
  | CommandFrame
