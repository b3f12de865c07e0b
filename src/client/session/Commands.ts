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
import type { ServerFrame } from "../transport/ServerFrames.ts"
import { send } from "./Handshake.ts"
import type { PendingCommand, State, Turn } from "./SessionState.ts"

/** How long a command waits for an answer on one connection before it is sent again. */
const againMs = 10_000

const set = ({ state }: Turn, command: PendingCommand): void => {
  state.commands = new Map(state.commands).set(command.frame.id, command)
}

/** Takes a command. */
export const onAsk = (turn: Turn, frame: PendingCommand["frame"]): void =>
  set(turn, { frame, times: 0, dueAt: -Infinity })

/** Nobody waits for this one any more. */
export const onForget = ({ state }: Turn, id: string): void => {
  const commands = new Map(state.commands)
  commands.delete(id)
  state.commands = commands
}

/** The server can decide, it may be again: all are due, but what it cannot answer. */
export const onReady = (turn: Turn, accepts: boolean): void => {
  for (const command of turn.state.commands.values()) {
    set(turn, { ...command, dueAt: accepts || command.times === 0 ? -Infinity : Infinity })
  }
}

/** When the next one is due. */
export const dueAt = ({ commands }: Pick<State, "commands">): number =>
  Math.min(...Array.from(commands.values(), (command) => command.dueAt))

/** Sends those that are due. */
export const sendDue = (turn: Turn): void => {
  const { phase } = turn.state
  for (const command of turn.state.commands.values()) {
    const { frame, times } = command
    if (phase._tag !== "Open" || turn.now < command.dueAt) continue
    if (!phase.acceptsCommands) {
      answer(turn, frame.id)
      continue
    }
    set(turn, { frame, times: times + 1, dueAt: turn.now + againMs })
    send(turn, frame)
  }
}

/** Takes what became of one. */
export const onAnswer = (turn: Turn, frame: Extract<ServerFrame, { readonly type: "command" }>): void => {
  const { id, type: _, ...outcome } = frame
  const command = turn.state.commands.get(id)
  const isOfRepetition = outcome.outcome === "refused" && outcome.reason === "tooMany" && command && command.times > 1
  if (command && !isOfRepetition) answer(turn, id, outcome)
}

const answer = (
  turn: Turn,
  id: string,
  outcome?: Extract<Turn["actions"][number], { _tag: "answered" }>["outcome"]
) => {
  onForget(turn, id)
  turn.actions.push({ _tag: "answered", id, outcome })
}
