/**
 * How many batched events per second, none merged with another, reach one connection?
 *
 * The first baseline is what a careful program does with `ws` by hand: as many events to a frame as this package puts
 * there, and many frames handed to the socket at once. The others send a message per event.
 */
import { makePair, race } from "./harness/end-to-end.ts"
import { withHelpers } from "./harness/process.ts"
import { atLeast, compare, type Question } from "./harness/question.ts"

export const question: Question = {
  asks: "one connection, batched events, end to end",
  answer: (settings) =>
    withHelpers(async (start) => {
      const count = settings.quick ? 50_000 : 200_000
      const emitter = await makePair(start, { server: ["emitter-server.ts", "batched"], dialect: "emitter", count })
      const { figures, note } = await race({
        "effect-emitter": emitter,
        "ws, the same frames corked": await makePair(start, {
          server: ["ws-server.ts", "corked"],
          dialect: "ws",
          count,
          perFrame: () => Math.round(emitter.perFrame())
        }),
        "effect-emitter, its own client": await makePair(start, {
          server: ["emitter-server.ts", "batched"],
          dialect: "client",
          count
        }),
        "ws, a message per event": await makePair(start, { server: ["ws-server.ts", "plain"], dialect: "ws", count }),
        "Socket.IO": await makePair(start, { server: ["socketio-server.ts"], dialect: "socket.io", count })
      }, settings)
      const ours = figures["effect-emitter"]
      return {
        comparisons: [
          compare("batched, end to end", ours, figures["ws, the same frames corked"], atLeast(0.8)),
          compare("batched, end to end", ours, figures["Socket.IO"], atLeast(10)),
          compare("batched, end to end", ours, figures["ws, a message per event"]),
          compare("batched, read by the package's client", figures["effect-emitter, its own client"], ours)
        ],
        notes: [note]
      }
    })
}
