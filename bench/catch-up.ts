/**
 * How long does a device that comes back take until it has read all that it missed?
 *
 * The clock starts before the connection is opened. The baseline keeps finished JSON in an array and writes it in frames
 * of 64 KiB as soon as the connection is open, with no conversation before.
 */
import * as calls from "./contestants/calls.ts"
import { type Helper, withHelpers } from "./harness/process.ts"
import { check, compare, type Question } from "./harness/question.ts"
import { type Contestant, interleave, roundsFor } from "./harness/rounds.ts"
import { userOf } from "./harness/workload.ts"

const user = userOf(0)

const makeContestant = async (
  start: (file: string, ...args: ReadonlyArray<string>) => Helper,
  [file, mode]: readonly [string, string],
  dialect: calls.Dialect,
  most: number
) => {
  const server = start(file, mode)
  const receiver = start("receiver.ts")
  const { tickets: [ticket = ""], url } = await server.ask(calls.listen, { users: [user] })
  const { epoch, head } = await server.ask(calls.keep, { user, count: most })
  check(head >= most, `${most} events were to be kept, the log ends at ${head}`)
  return (missed: number): Contestant => async () => {
    const { frames, seconds } = await receiver.ask(calls.catchUp, {
      dialect,
      url,
      user,
      ticket,
      epoch,
      offset: head - missed,
      head
    })
    check(frames >= 1, "nothing was received")
    return seconds
  }
}

export const question: Question = {
  asks: "from reconnecting to caught up",
  answer: (settings) =>
    withHelpers(async (start) => {
      const sizes = settings.quick ? [1, 1_000, 20_000] : [1, 1_000, 100_000]
      const most = Math.max(...sizes)
      const ours = await makeContestant(start, ["emitter-server.ts", "kept"], "emitter", most)
      const ws = await makeContestant(start, ["ws-server.ts", "corked"], "ws", most)
      const comparisons = []
      for (const missed of sizes) {
        const figures = await interleave(
          { "effect-emitter": ours(missed), "ws, finished JSON": ws(missed) },
          "seconds",
          roundsFor(settings),
          settings
        )
        const what = `caught up after ${missed.toLocaleString("en")} missed event${missed === 1 ? "" : "s"}`
        comparisons.push(compare(what, figures["effect-emitter"], figures["ws, finished JSON"]))
      }
      return { comparisons, notes: [] }
    })
}
