/**
 * Processes that answer calls: servers and clients stand apart, as they do in life.
 *
 * A call is described once, by its name and the schemas of what goes and comes, for both ends.
 */
import * as Schema from "effect/Schema"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

export interface Call<In, Out> {
  readonly name: string
  readonly params: Schema.Codec<In, unknown>
  readonly result: Schema.Codec<Out, unknown>
}

export const call = <In, Out>(
  name: string,
  params: Schema.Codec<In, unknown>,
  result: Schema.Codec<Out, unknown>
): Call<In, Out> => ({ name, params, result })

const Request = Schema.Struct({ id: Schema.Number, name: Schema.String, params: Schema.Unknown })

const Reply = Schema.Struct({
  id: Schema.Number,
  result: Schema.optionalKey(Schema.Unknown),
  error: Schema.optionalKey(Schema.String)
})

/**
 * A process that was started to answer calls. It ends with `stop`, and with the process that started it.
 */
export class Helper {
  private readonly child: ChildProcess
  private readonly file: string
  private readonly waiting = new Map<number, PromiseWithResolvers<unknown>>()
  private lastId = 0

  private constructor(file: string, args: ReadonlyArray<string>) {
    this.file = file
    this.child = fork(fileURLToPath(new URL(`../contestants/${file}`, import.meta.url)), args, {
      execArgv: ["--expose-gc"],
      stdio: ["ignore", "ignore", "inherit", "ipc"]
    })
    this.child.on("message", (message) => {
      const { error, id, result } = Schema.decodeUnknownSync(Reply)(message)
      const pending = this.waiting.get(id)
      this.waiting.delete(id)
      if (error === undefined) pending?.resolve(result)
      else pending?.reject(new Error(`${file}: ${error}`))
    })
    this.child.on("exit", (code, signal) => {
      for (const pending of this.waiting.values()) pending.reject(new Error(`${file} ended with ${code ?? signal}`))
      this.waiting.clear()
    })
  }

  static start(file: string, ...args: ReadonlyArray<string>): Helper {
    return new Helper(file, args)
  }

  async ask<In, Out>({ name, params, result }: Call<In, Out>, input: In, withinSeconds = 120): Promise<Out> {
    const id = ++this.lastId
    const pending = Promise.withResolvers<unknown>()
    this.waiting.set(id, pending)
    const late = setTimeout(
      () => pending.reject(new Error(`${this.file} did not answer "${name}" within ${withinSeconds} s`)),
      withinSeconds * 1000
    )
    try {
      this.child.send({ id, name, params: Schema.encodeSync(params)(input) })
      return Schema.decodeUnknownSync(result)(await pending.promise)
    } finally {
      clearTimeout(late)
      this.waiting.delete(id)
    }
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exited = once(this.child, "exit")
    const late = setTimeout(() => this.child.kill("SIGKILL"), 5_000)
    this.child.kill()
    await exited
    clearTimeout(late)
  }
}

/**
 * Starts helpers for the time of `use`, and ends them however it ends.
 */
export const withHelpers = async <A>(
  use: (start: (file: string, ...args: ReadonlyArray<string>) => Helper) => Promise<A>
): Promise<A> => {
  const started: Array<Helper> = []
  try {
    return await use((file, ...args) => {
      const helper = Helper.start(file, ...args)
      started.push(helper)
      return helper
    })
  } finally {
    await Promise.all(started.map((helper) => helper.stop()))
  }
}

export interface Handler {
  readonly name: string
  readonly handle: (params: unknown) => Promise<unknown>
}

export const on = <In, Out>({ name, params, result }: Call<In, Out>, answer: (input: In) => Promise<Out>): Handler => ({
  name,
  handle: async (input) => Schema.encodeSync(result)(await answer(Schema.decodeUnknownSync(params)(input)))
})

/**
 * The other end: answers calls until the process that asks them is gone.
 */
export const serve = (...handlers: ReadonlyArray<Handler>): void => {
  const byName = new Map(handlers.map((handler) => [handler.name, handler]))
  process.on("disconnect", () => process.exit())
  process.on("message", (message) => {
    const { id, name, params } = Schema.decodeUnknownSync(Request)(message)
    const answer = byName.get(name)?.handle(params) ?? Promise.reject(new Error(`there is no call "${name}"`))
    answer.then(
      (result) => process.send?.({ id, result }),
      (error: unknown) =>
        process.send?.({ id, error: error instanceof Error ? error.stack ?? error.message : String(error) })
    )
  })
}
