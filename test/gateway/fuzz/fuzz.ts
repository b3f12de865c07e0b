/**
 * Plays sequences against sessions, and holds each to what was expected of it.
 */
import { Effect, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import * as Broker from "../../../src/broker/index.ts"
import { UserId } from "../../../src/protocol/values/Identity.ts"
import * as Authenticator from "./authenticator.ts"
import { expected } from "./expected.ts"
import { maxBytes, type Message, type Sequence, sequence, show } from "./messages.ts"
import * as World from "./World.ts"

type World = Effect.Success<typeof World.make>

/** A sequence that breaks the rules, as short as it could be made, and what is wrong with it. */
export interface Failure {
  readonly seed: number
  readonly sequence: Sequence
  readonly problem: string
}

const codesText = (codes: ReadonlySet<number>) => [...codes].join(" or ")

const send = (session: ReturnType<World["open"]>["session"], message: Message): void => {
  if (message._tag === "Binary") session.onBinary()
  else if (Buffer.byteLength(message.text) > maxBytes) session.onOversize()
  else session.onText(message.text)
}

/** Plays one sequence; says what is wrong, if anything is. */
const play = Effect.fnUntraced(function*(world: World, sequence: Sequence, patient: boolean) {
  const { header, messages, vanishes } = sequence
  const { session, wire } = world.open(header)
  for (const message of messages) {
    send(session, message)
    if (patient) yield* world.settled
  }
  if (vanishes) {
    session.onClose()
    yield* world.settled
    return undefined
  }
  yield* world.settled
  const problem = judge(sequence, wire)
  if (problem !== undefined) {
    session.onClose()
    return problem
  }
  if (wire.closed === undefined && wire.frames.length > 0) {
    const [welcome] = wire.frames
    if (welcome?.type !== "welcome") return `the first frame was ${welcome?.type}`
    const before = wire.frames.length
    const user = ["ann", "bob"] as const
    for (const name of user) yield* world.broker.append(UserId.make(name), [World.envelope(1)])
    for (let turn = 0; wire.frames.length === before; turn++) {
      if (turn > 1_000) return "it is open, but gets no events any more"
      yield* Effect.yieldNow
    }
  }
  session.onClose()
  yield* world.settled
  return undefined
})

const judge = (sequence: Sequence, { closed, frames }: World.FuzzWire): string | undefined => {
  const want = expected(sequence, World.burst)
  if (want._tag === "Closed") {
    const { codes } = want
    if (closed === undefined) return `it is open, where ${codesText(codes)} was expected`
    if (!codes.has(closed.code)) return `it was closed with ${closed.code}, where ${codesText(codes)} was expected`
    if (closed.reason !== World.nameOf(closed.code)) return `the reason of ${closed.code} was "${closed.reason}"`
    const last = frames.at(-1)
    if (last?.type !== "error" && last?.type !== "goodbye") return `nothing was said before the close`
    return undefined
  }
  if (closed !== undefined) return `it was closed with ${closed.code}, where it should have gone on`
  const welcomes = frames.filter(({ type }) => type === "welcome").length
  if (want._tag === "Greeted") return welcomes === 1 ? undefined : `it was welcomed ${welcomes} times`
  return frames.length === 0 ? undefined : `it was sent ${frames.length} frames before any hello`
}

/** Leaves out whatever is not needed for something to be wrong. */
const shrink = Effect.fnUntraced(function*(world: World, failure: Failure, patient: boolean) {
  let least = failure
  for (let at = least.sequence.messages.length - 1; at >= 0; at--) {
    const shorter = { ...least.sequence, messages: least.sequence.messages.toSpliced(at, 1) }
    const problem = yield* guarded(world, shorter, patient)
    if (problem !== undefined) least = { ...least, sequence: shorter, problem }
  }
  return least
})

const guarded = (world: World, sequence: Sequence, patient: boolean) =>
  Effect.catchCause(play(world, sequence, patient), (cause) => Effect.succeed(`it fell over: ${cause}`))

const everySequences = 100

const onlyNeighbour = JSON.stringify({ sessions: 1, fibers: 0, connections: 1, users: 1, backlog: 0 })

/**
 * Plays sequences from a seed on, until so many messages were sent. Beside them a neighbour is connected, who must get
 * every event of theirs; in the end nothing else may be left.
 */
export const fuzz = (options: {
  readonly seed: number
  readonly messages: number
  readonly onProgress?: (messages: number, sequences: number) => void
}): Effect.Effect<{ readonly messages: number; readonly sequences: number; readonly failure: Failure | undefined }> =>
  Effect.gen(function*() {
    const world = yield* World.make
    const neighbour = world.open("cyd")
    neighbour.session.onText(`{"type":"hello"}`)
    yield* world.settled
    let messages = 0
    let sequences = 0
    let sent = 0
    const end = (failure: Failure | undefined) => ({ messages, sequences, failure })
    const broken = (problem: string, seed: number) =>
      end({ seed, sequence: { header: undefined, messages: [], vanishes: false }, problem })

    for (let seed = options.seed; messages < options.messages; seed++) {
      const next = sequence(seed)
      // Every second device waits for an answer to each message.
      const patient = seed % 2 === 0
      messages += next.messages.length
      sequences += 1
      const problem = yield* guarded(world, next, patient)
      if (problem !== undefined) return end(yield* shrink(world, { seed, sequence: next, problem }, patient))
      const left = JSON.stringify(yield* world.left)
      if (left !== onlyNeighbour) return broken(`something leaked: ${left}`, seed)
      if (sequences % everySequences === 0) {
        sent += 1
        yield* world.broker.append(UserId.make("cyd"), [World.envelope(sent)])
        options.onProgress?.(messages, sequences)
      }
    }
    for (let turn = 0; turn < 1_000 && numbers(neighbour.wire).length < sent; turn++) yield* Effect.yieldNow
    const got = numbers(neighbour.wire)
    if (neighbour.wire.closed !== undefined || got.length !== sent || got.some((n, index) => n !== index + 1)) {
      return broken(`the neighbour got ${got.length} of ${sent} events`, options.seed)
    }
    neighbour.session.onClose()
    yield* world.settled
    const left = Object.values(yield* world.left)
    const readers = yield* Effect.forEach(["ann", "bob", "cyd"], (name) => world.broker.readers(UserId.make(name)))
    if ([...left, ...readers].some((count) => count !== 0)) {
      return broken(`something is left at the end: ${JSON.stringify({ left, readers })}`, options.seed)
    }
    return end(undefined)
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.mergeAll(
      Authenticator.layer,
      Layer.orDie(Broker.layerMemory({ maxEvents: 8 })),
      TestClock.layer(),
      // Some of the tokens make the authenticator fail, which is logged each time.
      Logger.layer([])
    )),
    Effect.orDie
  )

const numbers = (wire: World.FuzzWire): ReadonlyArray<unknown> =>
  wire.frames.flatMap((frame) => frame.type === "events" ? frame.events.map(({ data }) => data["n"]) : [])

/** A failure for people: how to repeat it, and the messages it takes. */
export const describe = ({ problem, seed, sequence: { header, messages } }: Failure): string =>
  [
    `seed ${seed}: ${problem}`,
    `Repeat it with: npm run fuzz -- --seed ${seed} --frames 1`,
    ...(header === undefined ? [] : [`The request's header named ${header}.`]),
    ...(messages.length === 0 ? [] : ["The least that it takes:"]),
    ...messages.map((message, index) => `${index + 1}. ${show(message)}`)
  ].join("\n")
