/**
 * What this process is told of commands, and what of it is not seen to yet: users of
 * whom a command waits for it, and outcomes of those that it sent itself.
 *
 * Plain state, made before whoever fills it (the subscription of the process's own
 * channel, and the beat of its lease) and whoever empties it.
 *
 * @since 0.2.0
 */
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Schema from "effect/Schema"
import * as Command from "../../protocol/command/Command.ts"
import type { SentCommand } from "../Broker.ts"
import { UserId } from "../../protocol/values/Identity.ts"

/**
 * Users of whom commands wait, each with the number of the last.
 *
 * @category models
 * @since 0.2.0
 */
export type Mail = ReadonlyArray<readonly [user: UserId, number: number]>

/**
 * A command with the digest of what it asks.
 *
 * @category models
 * @since 0.2.0
 */
export interface Digested {
  readonly command: SentCommand
  readonly digest: string
}

const decodeUser = Schema.decodeUnknownExit(UserId)
const decodeOutcome = Schema.decodeUnknownExit(Schema.fromJsonString(Command.Outcome))

// So many users that were seen to are told to the server at once.
const seenAtOnce = 256

/**
 * Mail as it came; nothing where it cannot be read.
 *
 * @category conversions
 * @since 0.2.0
 */
export const readMail = (user: unknown, number: unknown): Mail => {
  const [name, last] = [decodeUser(user), Number(number)]
  return Exit.isSuccess(name) && Number.isSafeInteger(last) ? [[name.value, last]] : []
}

const keyOf = (user: string, id: string, digest: string): string => `${user}\n${id}\n${digest}`

/**
 * The inbox of a process.
 *
 * @category models
 * @since 0.2.0
 */
export class Inbox {
  /** The name of the process. */
  readonly process: string
  /** Open while there is mail. */
  readonly hasMail = Latch.makeUnsafe(false)
  private readonly mail = new Map<UserId, number>()
  private readonly seen = new Map<UserId, number>()
  private readonly waiting = new Map<string, Set<(outcome: Command.Outcome) => void>>()

  constructor(process: string) {
    this.process = process
  }

  /** Takes a publication of the process's own channel. What cannot be read is left to the beat, and to who asks again. */
  listen(message: string): void {
    const [kind, user = "", id = "", digest = "", text] = message.split("\n")
    if (kind === "m") return this.arrived(readMail(user, id))
    const waiting = kind === "o" ? this.waiting.get(keyOf(user, id, digest)) : undefined
    if (waiting === undefined) return
    const outcome = decodeOutcome(text)
    if (Exit.isSuccess(outcome)) waiting.forEach((resume) => resume(outcome.value))
  }

  /** Commands of these users wait for this process. */
  arrived(mail: Mail): void {
    for (const [user, number] of mail) this.mail.set(user, number)
    if (this.mail.size > 0) this.hasMail.openUnsafe()
  }

  /** Takes out all mail. */
  take(): Mail {
    const mail = Array.from(this.mail)
    this.mail.clear()
    this.hasMail.closeUnsafe()
    return mail
  }

  /** Nothing of the user waits any more that was there with this number. */
  seenTo(user: UserId, number: number): void {
    this.seen.set(user, number)
  }

  /** Some of the users that were seen to, to be told to the server. */
  seenToTell(): Mail {
    return Array.from(this.seen).slice(0, seenAtOnce)
  }

  /** Whether these are so many that they cannot wait for the next beat. */
  get isFull(): boolean {
    return this.seen.size >= seenAtOnce
  }

  /** The server was told of these. */
  told(mail: Mail): void {
    for (const [user, number] of mail) if (this.seen.get(user) === number) this.seen.delete(user)
  }

  /** Calls `resume` with the outcome of a command, each time it is told, until `done`. */
  await(user: UserId, { command, digest }: Digested, resume: (outcome: Command.Outcome) => void): void {
    const key = keyOf(user, command.id, digest)
    const waiting = this.waiting.get(key) ?? new Set()
    waiting.add(resume)
    this.waiting.set(key, waiting)
  }

  /** Calls it no more. */
  done(user: UserId, { command, digest }: Digested, resume: (outcome: Command.Outcome) => void): void {
    const key = keyOf(user, command.id, digest)
    const waiting = this.waiting.get(key)
    waiting?.delete(resume)
    if (waiting?.size === 0) this.waiting.delete(key)
  }
}
