/**
 * The ways of a cluster under test: the balancer before its gateways, and the proxies before its server.
 *
 * They run in threads of their own. Beside hundreds of devices in one event loop, on a machine that is busy, each turn of it
 * would take so long that the balancer, which takes one connection a turn, would be behind for ever: devices give up before
 * it is their turn.
 */
import { Effect, type Scope } from "effect"
import { Worker } from "node:worker_threads"

/** What the thread is asked for. A proxy goes by its port. */
export type Ask =
  | { readonly _tag: "Proxy"; readonly to: number }
  | { readonly _tag: "Strike"; readonly proxy: number; readonly fault: "cut" | "swallow" | "heal" }
  | { readonly _tag: "Delay"; readonly proxy: number; readonly ms: number }
  | { readonly _tag: "Balancer"; readonly gateways: ReadonlyArray<string> }
  | { readonly _tag: "Move"; readonly gateway: string; readonly to: number | undefined }

/** A question, and its answer, which has a port where one was asked for. */
export interface Asked {
  readonly id: number
  readonly ask: Ask
}
export interface Answer {
  readonly id: number
  readonly port: number
}

/** A way to a server: answers can be delayed, all can be swallowed, or cut. `heal` ends that. */
export interface Proxy {
  readonly port: number
  readonly cut: Effect.Effect<void>
  readonly swallow: Effect.Effect<void>
  readonly heal: Effect.Effect<void>
  readonly delay: (ms: number) => Effect.Effect<void>
}

/** The way to gateways; `move` tells where one is, if it is. */
export interface Balancer {
  readonly port: number
  readonly move: (gateway: string, to: number | undefined) => void
}

const startThread = Effect.gen(function*() {
  const waiting = new Map<number, (answer: Effect.Effect<number>) => void>()
  const thread = yield* Effect.acquireRelease(
    Effect.sync(() => new Worker(new URL("waysThread.ts", import.meta.url))),
    (thread) => Effect.promise(() => thread.terminate())
  )
  thread.on("message", ({ id, port }: Answer) => {
    waiting.get(id)?.(Effect.succeed(port))
    waiting.delete(id)
  })
  thread.on("error", (error) => {
    for (const resume of waiting.values()) resume(Effect.die(error))
  })
  let asked = 0
  const ask = (what: Ask): Effect.Effect<number> =>
    Effect.callback<number>((resume) => {
      const question: Asked = { id: ++asked, ask: what }
      waiting.set(question.id, resume)
      thread.postMessage(question, [])
    }).pipe(
      Effect.timeoutOrElse({
        duration: "60 seconds",
        orElse: () => Effect.die(new Error(`the thread of the ways did not answer "${what._tag}"`))
      })
    )
  return ask
})

/** Starts a thread for proxies. It ends with the scope. */
export const proxies: Effect.Effect<(to: number) => Effect.Effect<Proxy>, never, Scope.Scope> = Effect.map(
  startThread,
  (ask) => (to) =>
    Effect.map(ask({ _tag: "Proxy", to }), (proxy): Proxy => {
      const strike = (fault: "cut" | "swallow" | "heal") => Effect.asVoid(ask({ _tag: "Strike", proxy, fault }))
      return {
        port: proxy,
        cut: strike("cut"),
        swallow: strike("swallow"),
        heal: strike("heal"),
        delay: (ms) => Effect.asVoid(ask({ _tag: "Delay", proxy, ms }))
      }
    })
)

/** Starts a balancer before gateways of these names, none of which is there yet. It ends with the scope. */
export const balancer = (gateways: ReadonlyArray<string>): Effect.Effect<Balancer, never, Scope.Scope> =>
  Effect.flatMap(startThread, (ask) =>
    Effect.map(ask({ _tag: "Balancer", gateways }), (port): Balancer => ({
      port,
      move: (gateway, to) => void Effect.runFork(ask({ _tag: "Move", gateway, to }))
    })))
