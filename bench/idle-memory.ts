/**
 * What does the server hold for each connection on which nothing happens?
 *
 * Each round starts a fresh server process for each contestant, opens the connections from another process, and divides
 * what the server holds more than before by their number. What the kernel holds for a socket is not in it.
 */
import * as calls from "./contestants/calls.ts"
import { withHelpers } from "./harness/process.ts"
import { atMost, check, compare, type Figure, type Question, type Settings } from "./harness/question.ts"
import { type Contestant, interleave } from "./harness/rounds.ts"
import { summarize } from "./harness/statistics.ts"
import { userOf } from "./harness/workload.ts"

const makeContestant = (name: string, file: string, dialect: calls.Dialect, settings: Settings) => {
  const count = settings.quick ? 1_000 : 10_000
  const users = Array.from({ length: count }, (_, index) => userOf(index))
  const heap: Array<number> = []
  const resident: Array<number> = []

  const contestant: Contestant = (round) =>
    withHelpers(async (start) => {
      const server = start(file, "idle")
      const receiver = start("receiver.ts")
      const { tickets, url } = await server.ask(calls.listen, { users })
      // The first connections make what all later ones share, such as compiled code.
      const warm = Math.min(100, count / 10)
      await receiver.ask(calls.connect, { dialect, url, users: users.slice(0, warm), tickets: tickets.slice(0, warm) })
      const before = await server.ask(calls.memory, {})
      check(before.connections === warm, `${warm} connections were opened, the server counts ${before.connections}`)
      await receiver.ask(calls.connect, { dialect, url, users: users.slice(warm), tickets: tickets.slice(warm) })
      const after = await server.ask(calls.memory, {})
      check(after.connections === count, `${count} connections were opened, the server counts ${after.connections}`)
      const each = (after.heap + after.external - before.heap - before.external) / (count - warm)
      if (round >= 0) {
        heap.push(each)
        resident.push((after.resident - before.resident) / (count - warm))
      }
      return each
    })

  const figures = (): { readonly heap: Figure; readonly resident: Figure } => ({
    heap: { contestant: name, unit: "bytes", value: summarize(heap) },
    resident: { contestant: name, unit: "bytes", value: summarize(resident) }
  })
  return { contestant, figures, count }
}

export const question: Question = {
  asks: "memory of an idle connection",
  answer: async (settings) => {
    const ours = makeContestant("effect-emitter", "emitter-server.ts", "emitter", settings)
    const ws = makeContestant("ws", "ws-server.ts", "ws", settings)
    const socketIo = makeContestant("Socket.IO", "socketio-server.ts", "engine.io", settings)
    await interleave(
      { "effect-emitter": ours.contestant, ws: ws.contestant, "Socket.IO": socketIo.contestant },
      "bytes",
      { rounds: settings.quick ? 1 : 3, warmUps: 0 },
      settings
    )
    const one = `one of ${ours.count.toLocaleString("en")} idle connections`
    const [a, b, c] = [ours.figures(), ws.figures(), socketIo.figures()]
    return {
      comparisons: [
        compare(`heap and buffers, ${one}`, a.heap, b.heap, atMost(1.2)),
        compare(`heap and buffers, ${one}`, a.heap, c.heap, atMost(1)),
        compare(`resident memory, ${one}`, a.resident, b.resident, atMost(1.3)),
        compare(`resident memory, ${one}`, a.resident, c.resident, atMost(1))
      ],
      notes: []
    }
  }
}
