/** What is known of a log in Redis, looked at and changed from outside. */
import { Effect } from "effect"
import * as LogState from "../../../src/broker/redis/codec/LogState.ts"
import type { UserId } from "../../../src/protocol/values/Identity.ts"
import type { RedisServer } from "../../support/redis.ts"

type Name = typeof LogState.numbers[number] | typeof LogState.texts[number]

export type State = Readonly<Record<Name, string>>

const pattern = new RegExp(
  `^${LogState.numbers.map(() => "(\\d+)").join(" ")} (\\S+) (\\d+ \\d+ \\d+ \\d+) (\\S+) (\\S*) (.*)$`,
  "su"
)

const names: ReadonlyArray<Name> = [...LogState.numbers, ...LogState.texts]

/** Reads a state, which must be one. */
export const read = (text: string): State => {
  const found = pattern.exec(text)
  if (found === null) throw new Error(`no state of a log: ${text}`)
  const at = (name: Name) => found[names.indexOf(name) + 1] ?? ""
  return {
    last: at("last"),
    bytes: at("bytes"),
    blocks: at("blocks"),
    checkpoint: at("checkpoint"),
    till: at("till"),
    touched: at("touched"),
    mostLast: at("mostLast"),
    mostBytes: at("mostBytes"),
    first: at("first"),
    since: at("since"),
    linger: at("linger"),
    folded: at("folded"),
    sourced: at("sourced"),
    active: at("active"),
    ended: at("ended"),
    server: at("server"),
    limits: at("limits"),
    epoch: at("epoch"),
    taken: at("taken"),
    source: at("source")
  }
}

export const write = (state: State): string => names.map((name) => state[name]).join(" ")

const metaOf = (user: UserId): string => `emitter:{${user}}:meta`

/** The state of a user's log, if there is one. */
export const find = ({ send }: Pick<RedisServer, "send">, user: UserId): Effect.Effect<State | undefined> =>
  Effect.map(send("HGET", metaOf(user), " "), (answer) => {
    const [, text] = answer.split("\r\n")
    return answer.startsWith("$-1") || text === undefined ? undefined : read(text)
  })

/** One part of it, nothing while there is no log. */
export const partOf = (
  server: Pick<RedisServer, "send">,
  user: UserId,
  name: Name
): Effect.Effect<string | undefined> => Effect.map(find(server, user), (state) => state?.[name])

/** Makes it another, as somebody would by hand. */
export const change = (server: Pick<RedisServer, "send">, user: UserId, to: Partial<State>): Effect.Effect<unknown> =>
  Effect.flatMap(find(server, user), (state) =>
    state === undefined
      ? Effect.die(new Error(`${user} has no log`))
      : server.send("HSET", metaOf(user), " ", write({ ...state, ...to })))

/** Whether the state counts the runs that have a field. Two fields are the log's own. */
export const countsRuns = ({ send }: Pick<RedisServer, "send">, user: UserId): Effect.Effect<boolean> =>
  Effect.map(
    Effect.all([find({ send }, user), send("HLEN", metaOf(user))]),
    ([state, count]) => Number(state?.active) + Number(state?.ended) + 2 === Number.parseInt(count.slice(1), 10)
  )
