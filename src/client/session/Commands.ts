/**
 * Keeps each command until it is answered, whatever becomes of the connection.
 *
 * - It is sent on a connection whose welcome accepts commands, again on each new one
 *   and after each outage, and again after a while without an answer, always under its
 *   id: the server does it once.
 * - A server that accepts none ends a command that was never sent. One that was sent
 *   before stays, since another server may know what became of it.
 * - "Too many" in answer to a repetition says nothing of the first.
 *
 * @since 0.2.0
 */
import type { Outcome } from "../../protocol/command/Command.ts"
import type { CommandFrame } from "../transport/ClientFrame.ts"
import type { ServerFrame } from "../transport/ServerFrames.ts"
import { send } from "./Handshake.ts"
import type { PendingCommand, State, Turn } from "./SessionState.ts"

/** How long a command waits for an answer on one connection before it is sent again. */
const againMs = 10_000

const keep = (turn: Turn, id: string, command?: PendingCommand): void => {
  const commands = new Map(turn.commands)
  if (command === undefined) commands.delete(id)
  else commands.set(id, command)
  turn.commands = commands
}

/** Whether the server of the last welcome takes any. */
const areAccepted = ({ accepts }: Pick<State, "accepts">): boolean => accepts.includes("command")

/** Takes a command. */
export const onAsk = (turn: Turn, { command }: { readonly command: CommandFrame }): void =>
  keep(turn, command.id, { frame: command, times: 0, dueAt: -Infinity })

/** Nobody waits for this one any more. */
export const onForget = (turn: Turn, { id }: { readonly id: string }): void => keep(turn, id)

/** The server can decide, it may be again: all are due, but what it cannot answer. */
export const onReady = (turn: Turn): void => {
  const accepts = areAccepted(turn)
  for (const [id, command] of turn.commands) {
    keep(turn, id, { ...command, dueAt: accepts || command.times === 0 ? -Infinity : Infinity })
  }
}

/** When the next one is due. */
export const dueAt = ({ commands }: Pick<State, "commands">): number =>
  Math.min(...Array.from(commands.values(), (command) => command.dueAt))

/** Sends those that are due on a connection that is open. */
export const sendDue = (turn: Turn): void => {
  for (const [id, { dueAt, frame, times }] of turn.commands) {
    if (turn.now < dueAt) continue
    if (areAccepted(turn)) {
      keep(turn, id, { frame, times: times + 1, dueAt: turn.now + againMs })
      send(turn, frame)
    } else answer(turn, id)
  }
}

/** Takes what became of one. */
export const onAnswer = (turn: Turn, frame: Extract<ServerFrame, { readonly type: "command" }>): void => {
  const { id, type: _, ...outcome } = frame
  const { times = 0 } = turn.commands.get(id) ?? {}
  const isOfRepetition = times > 1 && outcome.outcome === "refused" && outcome.reason === "tooMany"
  if (times > 0 && !isOfRepetition) answer(turn, id, outcome)
}

const answer = (turn: Turn, id: string, outcome?: Outcome): void => {
  keep(turn, id)
  turn.actions.push({ _tag: "answered", id, outcome })
}
