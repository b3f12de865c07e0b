/**
 * How many critical events per second reach one connection, each sent the moment it is emitted?
 *
 * The baselines send one WebSocket message per event: `ws.send` of the same JSON, and `emit` of Socket.IO.
 */
import { makePair, race } from "./harness/end-to-end.ts"
import { withHelpers } from "./harness/process.ts"
import { atLeast, compare, type Question } from "./harness/question.ts"

export const question: Question = {
  asks: "one connection, critical events, end to end",
  answer: (settings) =>
    withHelpers(async (start) => {
      const count = settings.quick ? 20_000 : 100_000
      const { figures, note } = await race({
        "effect-emitter": await makePair(start, {
          server: ["emitter-server.ts", "critical"],
          dialect: "emitter",
          count
        }),
        "effect-emitter, its own client": await makePair(start, {
          server: ["emitter-server.ts", "critical"],
          dialect: "client",
          count
        }),
        "ws, a message per event": await makePair(start, { server: ["ws-server.ts", "plain"], dialect: "ws", count }),
        "Socket.IO": await makePair(start, { server: ["socketio-server.ts"], dialect: "socket.io", count })
      }, settings)
      const ours = figures["effect-emitter"]
      return {
        comparisons: [
          compare("critical, end to end", ours, figures["ws, a message per event"], atLeast(1)),
          compare("critical, end to end", ours, figures["Socket.IO"]),
          compare("critical, read by the package's client", figures["effect-emitter, its own client"], ours)
        ],
        notes: [note]
      }
    })
}
