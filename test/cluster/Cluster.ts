/**
 * A cluster under test: one real Redis or Postgres, gateways behind a load balancer, and emitters, each a process of its own that
 * reaches it through a proxy of its own.
 */
import { Effect, Exit, Redacted, Scope } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Child from "./Child.ts"
import { hasRested, latestCounts, type Line, read } from "./Record.ts"
import * as Store from "./Store.ts"
import * as Ways from "./Ways.ts"

/** The secret of every token. */
export const secret = Redacted.make("a secret for tests, of 32 characters or more")

/**
 * A user without devices, for whom agents run as for all others, and whom faults may strike alone. What becomes of its
 * events is not judged; that nobody else notices is.
 */
export const stricken = "user-stricken"

/** A place for one process after another: `child` is the one that runs, or ran last. */
export interface Place {
  readonly name: string
  readonly child: () => Child.Child
  /** Whether a process runs here that was neither killed nor stopped. */
  readonly isUp: () => boolean
  /** Starts a process where the last one has ended. */
  readonly start: Effect.Effect<void>
  /** SIGTERM; gives how it ended. New devices go elsewhere from then on. */
  readonly stop: Effect.Effect<Child.Ending>
  /** SIGKILL. */
  readonly kill: Effect.Effect<void>
}

/** A place whose process reaches the server by a way of its own. */
export interface Node extends Place {
  readonly proxy: Ways.Proxy
}

/** What emits: `record` is all that its processes wrote down, `spooled` how much its spool held a moment ago. */
export interface Emitting extends Place {
  readonly record: () => ReadonlyArray<Line>
  readonly spooled: () => number
  readonly hasRested: () => boolean
}

/** An emitting node of a cluster. */
export type EmitterNode = Emitting & Node

/** The whole cluster. `url` is where devices connect. */
export interface Cluster {
  readonly store: Store.Store
  readonly url: string
  readonly gateways: ReadonlyArray<Node>
  readonly emitters: ReadonlyArray<EmitterNode>
  readonly users: ReadonlyArray<string>
}

/** How large a cluster is, and how busy: `agents` of each user and emitter run at a time, with `pauseMs` between events. */
export interface Options {
  readonly seed: number
  readonly gateways: number
  readonly emitters: number
  readonly users: number
  readonly agents: number
  readonly pauseMs: number
}

/** Makes a place whose processes `launch` starts; `gone` is called when one is killed or stopped. All ends with the scope. */
export const place = (
  name: string,
  launch: Effect.Effect<Child.Child, never, Scope.Scope>,
  gone: () => void
): Effect.Effect<Place, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    let child: Child.Child | undefined
    let life: Scope.Closeable | undefined
    let isUp = false
    const leave = () => {
      isUp = false
      gone()
    }
    const current = () => {
      if (child === undefined) throw new Error(`${name} was never started`)
      return child
    }
    return {
      name,
      child: current,
      isUp: () => isUp,
      start: Effect.gen(function*() {
        if (life !== undefined) yield* Scope.close(life, Exit.void)
        life = yield* Scope.fork(scope)
        child = yield* Scope.provide(launch, life)
        isUp = true
      }),
      stop: Effect.suspend(() => {
        leave()
        return current().stop
      }),
      kill: Effect.suspend(() => {
        leave()
        return Effect.asVoid(current().kill)
      })
    }
  })

/** Starts a cluster over a server of this kind, whose program is given; emitters are started by `start` of each. All ends with the scope. */
export const make = Effect.fnUntraced(function*(kind: Store.Kind, program: string, options: Options) {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-emitter-cluster-test-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  const store = yield* Store.make(kind, program)
  const users = Array.from({ length: options.users }, (_, index) => `user-${index + 1}`)
  const names = Array.from({ length: options.gateways }, (_, index) => `gateway-${index + 1}`)
  const balancer = yield* Ways.balancer(names)
  const proxyTo = yield* Ways.proxies
  const node = (
    name: string,
    launch: (url: string) => Effect.Effect<Child.Child, never, Scope.Scope>,
    gone: () => void
  ) =>
    Effect.gen(function*() {
      const proxy = yield* proxyTo(store.port)
      const made: Node = { ...(yield* place(name, launch(store.urlAt(proxy.port)), gone)), proxy }
      return made
    })

  const gateways = yield* Effect.forEach(names, (name) =>
    node(
      name,
      (url) =>
        Child.start("gateway.ts", {
          NODE_NAME: name,
          BROKER_URL: url,
          TOKEN_SECRET: Redacted.value(secret)
        }).pipe(Effect.tap((child) => Effect.sync(() => balancer.move(name, Number(child.ready))))),
      () => balancer.move(name, undefined)
    ))
  yield* Effect.forEach(gateways, ({ start }) => start, { concurrency: "unbounded" })

  const emitters = yield* Effect.forEach(
    Array.from({ length: options.emitters }, (_, index) => `emitter-${index + 1}`),
    (name, index) =>
      Effect.gen(function*() {
        const file = join(folder, `${name}.record`)
        let lives = 0
        const made = yield* node(name, (url) =>
          Effect.suspend(() =>
            Child.start("emitter.ts", {
              NODE_NAME: name,
              BROKER_URL: url,
              LIFE: `${name}-life-${++lives}`,
              SEED: String(options.seed * 1_000 + index * 100 + lives),
              USERS: [...users, stricken].join(","),
              AGENTS: String(options.agents),
              PAUSE_MS: String(options.pauseMs),
              RECORD: file,
              SPOOL: join(folder, `${name}.spool`)
            })
          ), () => {})
        return {
          ...made,
          record: () => read(file),
          spooled: () => latestCounts(file)?.spooled ?? 0,
          hasRested: () => hasRested(file)
        }
      })
  )
  const cluster: Cluster = { store, url: `ws://127.0.0.1:${balancer.port}/events`, gateways, emitters, users }
  return cluster
})
