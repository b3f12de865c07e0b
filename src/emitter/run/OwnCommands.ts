/**
 * Commands of a program's own, as its run reads them.
 *
 * They wait in a bounded queue from the moment the run asks for them, or from its
 * start where the run's options name them, until the run ends.
 *
 * @since 0.2.0
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Command from "../../protocol/command/Command.ts"
import type { PayloadSchema } from "../../protocol/event/EventDefinition.ts"
import type { Acceptor } from "../accept/Acceptor.ts"
import { type Binding, runOf } from "../accept/Binding.ts"
import { type EmitError, NoRun } from "../EmitError.ts"
import type { CommandTaker, RunRecord, RunRegistry } from "../user/RunRegistry.ts"
import * as CommandData from "./CommandData.ts"

/**
 * A kind of command, whatever its payload.
 *
 * @category models
 * @since 0.2.0
 */
export type AnyDefinition = Pick<Command.Definition, "name"> & { readonly payload: PayloadSchema }

// So many commands of a name wait for a run to read them.
const capacity = 64

class Inbox implements CommandTaker {
  readonly definition: AnyDefinition
  readonly #queue: Queue.Queue<object, Cause.Done>
  readonly #decode: (data: unknown) => Exit.Exit<object, Schema.SchemaError>

  constructor(definition: AnyDefinition, queue: Queue.Queue<object, Cause.Done>) {
    this.definition = definition
    this.#queue = queue
    this.#decode = Schema.decodeUnknownExit(Schema.toCodecJson(definition.payload))
  }

  take(data: Schema.Json | undefined): Command.Outcome {
    const read = this.#decode(data ?? {})
    if (Exit.isFailure(read)) return CommandData.invalid(read.cause, ["data"])
    return Queue.offerUnsafe(this.#queue, read.value) ? Command.accepted : full
  }

  close(): void {
    Queue.endUnsafe(this.#queue)
  }

  get stream(): Stream.Stream<object> {
    return Stream.fromQueue(this.#queue)
  }
}

const full = Command.refused("tooMany", { message: `The run has ${capacity} such commands to read yet` })

/**
 * Lets a run take commands of these kinds from now on. Another kind of the same name
 * is a mistake in the program, and dies as a `TypeError`.
 *
 * @category operations
 * @since 0.2.0
 */
export const open = (
  runs: RunRegistry,
  record: RunRecord,
  definitions: ReadonlyArray<AnyDefinition>
): Effect.Effect<void> =>
  Effect.forEach(definitions, (definition) => inboxOf(runs, record, definition), { discard: true })

const inboxOf = (runs: RunRegistry, record: RunRecord, definition: AnyDefinition): Effect.Effect<Inbox> =>
  Effect.gen(function*() {
    const known = record.takers?.get(definition.name)
    if (known instanceof Inbox && known.definition === definition) return known
    if (known !== undefined) {
      return yield* Effect.die(new TypeError(`Two commands of the run have the name "${definition.name}"`))
    }
    const inbox = new Inbox(definition, yield* Queue.dropping<object, Cause.Done>(capacity))
    if (record.isStopped || record.state._tag === "Ended") inbox.close()
    else runs.addTaker(record, definition.name, inbox)
    return inbox
  })

/**
 * The commands of one kind that devices send to the binding's run, until it ends; what
 * `emitter.commands` gives. Each is given to one reader.
 *
 * @category constructors
 * @since 0.2.0
 */
export const commands = <Payload extends PayloadSchema>(
  acceptor: Acceptor,
  bindingHere: () => Binding,
  definition: Command.Definition<string, Payload>
): Stream.Stream<Payload["Type"], EmitError> =>
  Stream.unwrap(Effect.suspend(() => {
    const binding = bindingHere()
    const record = runOf(binding)
    if (record?.isConducted !== true) {
      return acceptor.rejected(new NoRun({ event: `The command "${definition.name}"` }))
    }
    return Effect.map(inboxOf(binding.outbox.runs, record, definition), (inbox) => inbox.stream)
  }))
