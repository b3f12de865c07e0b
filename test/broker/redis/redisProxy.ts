/**
 * Stands between a node and its server: it can keep publications from the connections that are open, let answers take their
 * time, swallow all that passes, strand what is open, lose one request or answer, break what is open, and lead to another server.
 */
import { Effect } from "effect"
import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"

/** Writes what it is given in order, each after a while. */
const lateWriter = (to: Socket, delayMs: () => number) => {
  const late: Array<{ readonly due: number; readonly data: Buffer }> = []
  const pump = () => {
    const now = performance.now()
    while (late[0] !== undefined && late[0].due <= now) to.write(late.shift()?.data ?? "")
    if (late[0] !== undefined) setTimeout(pump, late[0].due - now)
  }
  return (data: Buffer) => {
    if (late.length === 0 && delayMs() === 0) return void to.write(data)
    late.push({ due: Math.max(performance.now() + delayMs(), late.at(-1)?.due ?? 0), data })
    if (late.length === 1) pump()
  }
}

export const redisProxy = (port: number) =>
  Effect.gen(function*() {
    const muted = new Set<Socket>()
    const stranded = new Set<Socket>()
    const sockets = new Set<Socket>()
    let target = port
    let delayMs = 0
    let swallowing = false
    let kept = 0
    let connections = 0
    let answers = ""
    let stranding: string | undefined
    let losing: { readonly word: string; readonly part: "request" | "answer" } | undefined
    const server = createServer((near) => {
      connections++
      const far = connect(target, "127.0.0.1")
      for (const socket of [near, far]) {
        sockets.add(socket)
        socket.on("error", () => socket.destroy())
        socket.on("close", () => {
          sockets.delete(socket)
          near.destroy()
          far.destroy()
        })
      }
      let isDeaf = false
      near.on("data", (data) => {
        if (losing !== undefined && data.includes(losing.word)) {
          const { part } = losing
          losing = undefined
          if (part === "request") return void near.destroy()
          isDeaf = true
        }
        if (stranding !== undefined && data.includes(stranding)) {
          stranding = undefined
          stranded.add(near)
        }
        if (!swallowing && !stranded.has(near)) far.write(data)
      })
      const answer = lateWriter(near, () => delayMs)
      far.on("data", (data) => {
        if (swallowing || stranded.has(near)) return
        answers = (answers + data.toString("latin1")).slice(-4_096)
        if (isDeaf) return void near.destroy()
        if (!muted.has(near) || !data.includes("$7\r\nmessage\r\n")) answer(data)
        else kept++
      })
    })
    const cut = () => {
      for (const socket of sockets) socket.destroy()
    }
    yield* Effect.acquireRelease(
      Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
      () =>
        Effect.sync(() => {
          cut()
          server.close()
        })
    )
    const address = server.address()
    if (address === null || typeof address === "string") throw new Error("no port")
    return {
      port: address.port,
      url: `redis://127.0.0.1:${address.port}`,
      /** From now on no publication comes through on what is open now; all else does. */
      mute: Effect.sync(() => {
        for (const socket of sockets) muted.add(socket)
      }),
      /** How many packets of publications did not come through. */
      kept: () => kept,
      /** From now on every answer takes so many milliseconds more. */
      delay: (ms: number) =>
        Effect.sync(() => {
          delayMs = ms
        }),
      /** Loses the next request that has this word in it, or what is answered to it, and breaks its connection. */
      lose: (part: "request" | "answer", word: string) =>
        Effect.sync(() => {
          losing = { word, part }
        }),
      /** Whether that is still to come. */
      isLosing: () => losing !== undefined,
      /** From now on nothing comes through on what is open now, and nobody is told; what is opened later works. */
      strand: Effect.sync(() => {
        for (const socket of sockets) stranded.add(socket)
      }),
      /** The connection over which this word is asked next is stranded with it. */
      strandAt: (word: string) =>
        Effect.sync(() => {
          stranding = word
        }),
      /** How many connections were made so far. */
      connections: () => connections,
      /** The last that the server said, on all of them. */
      answers: () => answers,
      /** Breaks what is open now. */
      cut: Effect.sync(cut),
      /** From now on nothing comes through, and nobody is told. */
      swallow: Effect.sync(() => {
        swallowing = true
      }),
      /** Lets everything through again, at once. What was open while bytes were swallowed is broken. */
      heal: Effect.sync(() => {
        delayMs = 0
        if (!swallowing) return
        swallowing = false
        cut()
      }),
      /** Lets everything through again, but what was swallowed stays lost, and what was open stays open. */
      passAgain: Effect.sync(() => {
        swallowing = false
      }),
      /** Connections that are made from now on lead to this port; those that are open end, unless they may stay. */
      leadTo: (port: number, options: { readonly staying?: boolean } = {}) =>
        Effect.sync(() => {
          target = port
          if (options.staying !== true) cut()
        })
    }
  })
