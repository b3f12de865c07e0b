/**
 * Appends batches to the logs, in one script each.
 *
 * Events of runs are appended under the lease of this process, so that another can
 * end these runs should it die; endings of lost runs only where these stand as they
 * were found.
 *
 * @since 0.1.0
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Envelope } from "../../../protocol/wire/Envelope.ts"
import * as RunEvents from "../../../protocol/event/RunEvents.ts"
import type { RunId, UserId } from "../../../protocol/values/Identity.ts"
import { BrokerError, RunLost } from "../../Broker.ts"
import * as LostRun from "../../leases/LostRun.ts"
import * as RedisBlock from "../codec/Block.ts"
import * as RedisEntry from "../codec/Entry.ts"
import * as RedisKeys from "../codec/Keys.ts"
import type { Connection } from "../connection/Connection.ts"
import type { ServerOptions } from "../connection/Options.ts"
import type { RedisMetrics } from "../Metrics.ts"
import { append as appendScript } from "../scripts/AppendLua.ts"
import type { Script } from "../scripts/Script.ts"
import * as Standing from "../scripts/StandingLua.ts"
import type { Checkpointer } from "./Checkpointer.ts"
import { type LogCaller, onlyRuns } from "./LogCaller.ts"

/**
 * - `append` adds a batch whose runs are this process's, under its `lease` (`-` where
 *   it is of no run). It tells how many active runs the user has left, if one ended.
 * - `endRuns` ends as lost those active runs of a user that are meant, and gives how
 *   many it ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Appender {
  readonly append: (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>,
    lease: string
  ) => Effect.Effect<RedisEntry.Appended, BrokerError>
  readonly endRuns: (
    user: UserId,
    isMeant: (run: RunId, lease: string) => boolean
  ) => Effect.Effect<number, BrokerError>
}

/**
 * The script that appends; tests and measurements take the one without the short path.
 *
 * @category references
 * @since 0.2.0
 */
export const AppendScript = Context.Reference<Script>("effect-emitter/redis/AppendScript", {
  defaultValue: () => appendScript
})

const startsOrEnds = ({ type }: Envelope): boolean => RunEvents.isStart(type) || RunEvents.isTerminal(type)

const threadOf = ({ thread }: Envelope): string => thread ?? ""

/**
 * `node` names this process.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (parts: {
  readonly options: ServerOptions
  readonly node: string
  readonly clock: Clock.Clock
  readonly connection: Connection
  readonly logs: LogCaller
  readonly checkpoints: Checkpointer
  readonly script: Script
  readonly metrics: Pick<RedisMetrics, "appended">
}): Appender => {
  const { checkpoints, clock, connection, logs, metrics, node, options, script } = parts
  const { maxRuns, prefix } = options
  let endingsMade = 0

  const afterAppend = (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>,
    appended: RedisEntry.Appended
  ): Effect.Effect<void> => {
    metrics.appended(appended.path)
    const noted = checkpoints(user, batch, appended)
    if (appended.isTold) return noted
    return Effect.andThen(
      noted,
      Effect.logWarning(
        `Redis at ${options.name} took events of user ${user}, but not the right to tell readers of them`
      )
    )
  }

  const appendWith = (
    user: UserId,
    batch: NonEmptyReadonlyArray<Envelope>,
    lease: string,
    besides: (envelope: Envelope, run: RunId) => string
  ): Effect.Effect<RedisEntry.AppendReply, BrokerError> =>
    RedisEntry.read("append", () => {
      const runs = Standing.runsOf(batch, besides)
      return [
        RedisKeys.ofChannel(options, user),
        lease,
        lease === "" ? Standing.many : Standing.onlyRun(runs),
        JSON.stringify([RedisBlock.bodyStart(batch[batch.length - 1] ?? batch[0]), runs]),
        ...RedisBlock.toArguments(batch)
      ]
    }).pipe(
      Effect.flatMap((args) =>
        logs.call(
          "append",
          script,
          user,
          args,
          RedisEntry.toAppendReply,
          batch.some(startsOrEnds)
            ? RedisKeys.ofCommands(prefix, user)
            : undefined
        )
      ),
      Effect.tap((reply) => reply._tag === "Appended" ? afterAppend(user, batch, reply) : Effect.void)
    )

  const append: Appender["append"] = (user, batch, lease) =>
    Effect.flatMap(
      appendWith(user, batch, lease, threadOf),
      (reply): Effect.Effect<RedisEntry.Appended, BrokerError> => {
        switch (reply._tag) {
          case "Appended":
            return Effect.succeed(reply)
          case "Lost":
            return Effect.fail(new BrokerError({ reason: new RunLost({ runs: reply.runs }) }))
          case "Changed":
            return Effect.die(new Error("only endings are asked to stand as before"))
        }
      }
    )

  // What is ended must stand in the log as active, and in its field as it stood there when it was looked at.
  const endRuns: Appender["endRuns"] = (user, isMeant) =>
    Effect.gen(function*() {
      const found = yield* connection.call("active", ({ client }) =>
        client.sendCommand(["HGETALL", RedisKeys.ofMeta(prefix, user)]))
      const noted = yield* RedisEntry.read("active", () =>
        RedisEntry.toActive(found))
      const meant = noted.filter(({ lease, run }) => isMeant(run, lease))
      if (meant.length === 0) return 0
      const runs = yield* logs.viewAs("runs", user, onlyRuns, (view) => RedisEntry.toRuns(maxRuns, view))
      const at = clock.currentTimeMillisUnsafe()
      const active = meant.filter(({ run }) => runs.get(run)?.fold.ended !== true)
      const fields = new Map(active.map(({ field, run }) => [run, field]))
      const endings = active.map(({ run, thread }) =>
        LostRun.ending({ run, thread, at, source: `${node}-lost${(endingsMade++).toString(36)}-` })
      )
      if (!isReadonlyArrayNonEmpty(endings)) {
        return 0
      }
      const reply = yield* appendWith(user, endings, "", (_, run) => fields.get(run) ?? "")
      return reply._tag === "Appended" ? reply.left : yield* endRuns(user, isMeant)
    })

  return { append, endRuns }
}
