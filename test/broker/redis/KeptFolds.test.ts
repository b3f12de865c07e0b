/** What a process keeps folded of what it appended saves the same as what is read back, byte for byte, or nothing. */
import { afterAll, assert, describe, it } from "@effect/vitest"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { Arbitrary } from "effect"
import type { Envelope } from "effect-emitter/protocol"
import * as RedisBlock from "../../../src/broker/redis/codec/Block.ts"
import * as RedisEntry from "../../../src/broker/redis/codec/Entry.ts"
import { bounds, KeptFolds } from "../../../src/broker/redis/operations/KeptFolds.ts"
import { UserId } from "../../../src/protocol/values/Identity.ts"
import { garbage, type Happening, int, story } from "../../protocol/run/happenings.ts"
import { envelope } from "../events.ts"

type Batch = NonEmptyReadonlyArray<Envelope.Envelope>

const ada = UserId.make("ada")
const maxRuns = 3

const appendedAt = (epoch: string, before: number, last: number): RedisEntry.Appended => ({
  _tag: "Appended",
  log: { epoch, offset: before },
  position: { epoch, offset: last },
  left: -1,
  isDue: false,
  isTold: true,
  path: "short"
})

/** A log as the scripts keep it: its events, and what is saved of its runs. */
class Server {
  epoch = "e0"
  checkpoint = 0
  readonly events: Array<Envelope.Envelope> = []
  private saved = new Map<string, string>()

  append(batch: Batch): RedisEntry.Appended {
    const before = this.events.length
    for (const event of batch) {
      if (event.run === undefined && this.checkpoint === this.events.length) this.checkpoint++
      this.events.push(event)
    }
    return appendedAt(this.epoch, before, this.events.length)
  }

  /** What a look shows of it, or showed when it ended at `head`. */
  view(head = this.events.length): RedisEntry.LogView {
    const since = this.events.slice(this.checkpoint, head).map((event, n) => {
      const [, , , , sizes = "", events = ""] = RedisBlock.toArguments([event])
      return [`${this.checkpoint + n + 1}-0`, ["m", "", "n", sizes, "e", events]]
    })
    return {
      log: { epoch: this.epoch, offset: head },
      first: 1,
      checkpoint: this.checkpoint,
      gap: undefined,
      blocks: [],
      states: [...this.saved].flat(),
      tail: since
    }
  }

  save([epoch, from, to, count, ...rest]: ReadonlyArray<string>): boolean {
    if (epoch !== this.epoch || Number(from) !== this.checkpoint) return false
    const forgotten = rest.slice(0, Number(count))
    for (const run of forgotten) this.saved.delete(run)
    for (let at = forgotten.length; at < rest.length; at += 2) this.saved.set(rest[at] ?? "", rest[at + 1] ?? "")
    this.checkpoint = Number(to)
    return true
  }
}

const steps = [
  "append",
  "append",
  "append",
  "append",
  "save",
  "save",
  "other",
  "repeat",
  "lose",
  "move",
  "jump"
] as const

/** What is done next, with what happens to which runs. */
const anyStep = Arbitrary.all({
  step: Arbitrary.map(Arbitrary.schema(int(0, 3 * steps.length)), (n) => steps[n] ?? "append"),
  happenings: Arbitrary.array(Arbitrary.flatMap(Arbitrary.schema(int(0, 9)), (n) => n === 0 ? garbage : story), {
    minLength: 1,
    maxLength: 4
  }),
  run: Arbitrary.schema(int(0, 7))
})

const saved = (fold: RedisEntry.Folded): void => {
  fold.checkpoint = fold.offset
  fold.saved = Array.from(fold.runs.entries(), ([run]) => run)
}

describe("the folds that are kept", () => {
  let compared = 0

  it.prop(
    "save byte for byte what reading back would, whatever comes between the appends",
    { all: Arbitrary.array(anyStep, { minLength: 30, maxLength: 40 }) },
    ({ all }) => {
      const server = new Server()
      const folds = new KeptFolds(bounds)
      let sequence = 0
      let epochs = 0
      // Whether all that came since a fold was last begun is what was appended here.
      let isUndisturbed = false
      const toBatch = (happenings: ReadonlyArray<Happening>, run: number): Batch => {
        const [first, ...others] = happenings.map(({ at, data, keep, type }) =>
          envelope({ sequence: ++sequence, at, data, keep, type, ...(run > 5 ? {} : { run: `r${run}`, thread: "t" }) })
        )
        return [first ?? envelope({ sequence: ++sequence }), ...others]
      }
      for (const { happenings, run, step } of all) {
        switch (step) {
          case "append": {
            const batch = toBatch(happenings, run)
            folds.appended(ada, batch, server.append(batch))
            break
          }
          case "repeat":
            isUndisturbed = false
            folds.appended(
              ada,
              toBatch(happenings, run),
              appendedAt(server.epoch, server.events.length, server.events.length)
            )
            assert.isUndefined(folds.get(ada))
            break
          // Of another process, or of this one without an answer.
          case "other":
            isUndisturbed = false
            server.append(toBatch(happenings, run))
            break
          case "move":
            isUndisturbed = false
            server.epoch = `e${++epochs}`
            break
          case "jump":
            isUndisturbed = false
            server.checkpoint = server.events.length
            break
          case "save": {
            const kept = folds.get(ada)
            if (kept !== undefined) {
              const args = RedisEntry.toCheckpoint(kept)
              const wanted = RedisEntry.toCheckpoint(RedisEntry.toFolded(maxRuns, server.view(kept.offset)))
              if (server.save(args)) {
                assert.deepStrictEqual(args, wanted)
                compared++
                saved(kept)
                break
              }
            }
            assert.isFalse(isUndisturbed, "nothing came between, and it was not kept")
            isUndisturbed = true
            const fold = RedisEntry.toFolded(maxRuns, server.view())
            assert.isTrue(server.save(RedisEntry.toCheckpoint(fold)))
            saved(fold)
            folds.keep(ada, fold)
          }
        }
      }
    },
    { arbitrary: { runs: 40, size: 40 }, timeout: 120_000 }
  )

  afterAll(() => assert.isAbove(compared, 20, "so often a kept fold was compared"))
})
