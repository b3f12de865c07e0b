/**
 * Calls the scripts over a user's commands, and reads what they answer.
 *
 * Each may be repeated without harm: what was decided stays, and what was taken is
 * given again to the process that took it.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Command from "../../../protocol/command/Command.ts"
import type { UserId } from "../../../protocol/values/Identity.ts"
import type { BrokerError } from "../../BrokerError.ts"
import * as CommandLimits from "../../commands/CommandLimits.ts"
import * as Reply from "../../commands/CommandReply.ts"
import * as RedisEntry from "../codec/Entry.ts"
import * as RedisKeys from "../codec/Keys.ts"
import type { Connection } from "../connection/Connection.ts"
import type { ServerOptions } from "../connection/Options.ts"
import type { CommandCaller } from "../../commands/CommandCaller.ts"
import type { LogCaller } from "../operations/LogCaller.ts"
import * as CommandLua from "../scripts/CommandLua.ts"
import * as LeaseLua from "../leases/LeaseLua.ts"
import * as LogRepair from "../scripts/LogRepair.ts"
import * as RedisScript from "../scripts/Script.ts"

const ttl = String(RedisKeys.commandsMs)
const bounds = [
  String(Command.outcomeMemoryMs),
  String(CommandLimits.maxOpen),
  String(CommandLimits.maxKnown),
  String(CommandLimits.maxBytes)
]

/**
 * `node` names this process.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = (
  options: ServerOptions,
  node: string,
  connection: Connection,
  logs: LogCaller
): CommandCaller => {
  const { prefix } = options
  const processes = RedisKeys.ofProcesses(options)

  // Where the runs stand is among the keys of the log, which may have to be mended.
  const run = <A>(
    operation: string,
    script: RedisScript.Script,
    user: UserId,
    argsOn: (server: string) => ReadonlyArray<string>,
    decode: (reply: unknown) => A
  ): Effect.Effect<A, BrokerError> =>
    connection.call(operation, ({ client, server }) => {
      const log = logs.mending(user, server)
      const [, meta = "", , runs = ""] = log.keys
      const keys = [...RedisKeys.ofCommands(prefix, user), meta, runs]
      return LogRepair.run(client, { script, keys, args: [user, processes, ttl, ...argsOn(log.server)], log })
    }).pipe(Effect.flatMap(({ reply }) => RedisEntry.read(operation, () => decode(reply))))

  return {
    put: (user, { command, digest }, withinMs, isFinal) =>
      Effect.flatMap(
        RedisEntry.read("command", () => Reply.fromCommand(command)),
        (body) =>
          run("command", CommandLua.put, user, (server) => [
            command.id,
            digest,
            command.run,
            body,
            node,
            String(Math.ceil(withinMs)),
            ...bounds,
            server,
            isFinal ? "1" : "0"
          ], Reply.toCommandReply)
      ),
    post: (process, user, number) =>
      Effect.asVoid(
        connection.call("post", ({ client }) =>
          RedisScript.run(client, CommandLua.post, [RedisKeys.ofMailbox(prefix, process)], [
            user,
            String(number),
            ttl,
            `${processes}${process}`
          ]))
      ),
    withdraw: (user, { command: { id, run: of }, digest }) =>
      run("withdraw", CommandLua.withdraw, user, () => [id, digest, of], Reply.toCommandReply),
    take: (user, left) => run("take", CommandLua.take, user, () => [node, ...left], Reply.toTaken),
    decide: (user, { digest, id, run: of }, decision) =>
      run("decide", CommandLua.decide, user, () => [
        id,
        digest,
        of,
        typeof decision === "string" ? decision : Reply.fromOutcome(decision)
      ], Reply.toCommandReply),
    clear: (mail) =>
      Effect.asVoid(connection.call("clear", ({ client }) =>
        RedisScript.run(
          client,
          LeaseLua.leave,
          [RedisKeys.ofMailbox(prefix, node)],
          mail.flatMap(([user, number]) => [user, String(number)])
        )))
  }
}
