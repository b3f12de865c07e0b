/**
 * One process emits, the connections are at another, and a third holds all the clients.
 */
import * as calls from "../contestants/calls.ts"
import type { Helper } from "./process.ts"
import { check } from "./question.ts"

export interface Processes {
  readonly sender: Helper
  readonly gateway: Helper
  readonly receiver: Helper
  readonly users: ReadonlyArray<string>
}

/** Starts all three. `server` gives the file of either server, and its arguments. */
export const startProcesses = async (
  start: (file: string, ...args: ReadonlyArray<string>) => Helper,
  users: ReadonlyArray<string>,
  server: (role: "sender" | "gateway") => ReadonlyArray<string>,
  dialect: calls.Dialect
): Promise<Processes> => {
  const open = (role: "sender" | "gateway") => {
    const [file = "", ...args] = server(role)
    return start(file, ...args)
  }
  const sender = open("sender")
  const gateway = open("gateway")
  const receiver = start("receiver.ts")
  await sender.ask(calls.listen, { users })
  const { tickets, url } = await gateway.ask(calls.listen, { users })
  await receiver.ask(calls.connect, { dialect, url, users, tickets })
  return { sender, gateway, receiver, users }
}

/** How many events a second so many of them came through, to the first users there are. */
export const spread = async (
  { receiver, sender }: Processes,
  users: ReadonlyArray<string>,
  count: number
): Promise<number> => {
  await receiver.ask(calls.expect, { from: 0, count, users: users.length })
  const [{ startedAt }, { finishedAt }] = await Promise.all([
    sender.ask(calls.spread, { users, from: 0, count }),
    receiver.ask(calls.received, {})
  ])
  check(finishedAt > startedAt, "the last event was received before the first was sent")
  return count / (finishedAt - startedAt)
}
