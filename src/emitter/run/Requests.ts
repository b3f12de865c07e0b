/**
 * What runs ask of their users, and wait for.
 *
 * A request is two events: `input_requested`, and one `input_resolved` that tells
 * every device what came of it. The first valid answer wins, and is decided in the
 * run; a later one is refused as `ended`, one that does not fit as `invalid`, with the
 * place. Nobody waits for ever: a request expires, and is withdrawn when its run ends
 * or is cancelled, or when whoever asks is interrupted.
 *
 * @since 0.2.0
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Command from "../../protocol/command/Command.ts"
import * as AgentEvents from "../../protocol/event/AgentEvents.ts"
import { type Binding, runOf } from "../accept/Binding.ts"
import { type EmitError, NoRun } from "../EmitError.ts"
import type { CommandTaker, RunRecord } from "../user/RunRegistry.ts"
import * as CommandData from "./CommandData.ts"
import type { Reporter } from "./Reporting.ts"

/**
 * Nobody answered: the time of the request was over (`expired`), or its run ended or
 * was cancelled (`withdrawn`).
 *
 * @category errors
 * @since 0.2.0
 */
export class AskError extends Schema.TaggedError<AskError>()("AskError", {
  reason: Schema.Literals(["expired", "withdrawn"]),
  requestId: Schema.String,
  title: Schema.String
}) {
  override get message() {
    const why = this.reason === "expired" ? "nobody answered in time" : "its run ended, or was cancelled"
    return `The request "${this.title}" (${this.requestId}) was not answered: ${why}`
  }
}

/**
 * What every request has.
 *
 * - `title` says in a line what is asked, `detail` what one has to know for an answer.
 * - `timeout` is how long the run waits, an hour by default. Then `ask` gives the
 *   `default`, or fails with `AskError` where there is none.
 * - `sensitive`: the answer goes to the program alone. It stands in no event, log or
 *   span; devices learn that it was given.
 *
 * @category models
 * @since 0.2.0
 */
export interface RequestOptions<out A> {
  readonly title: string
  readonly detail?: string | undefined
  readonly timeout?: Duration.Input | undefined
  readonly default?: A | undefined
  readonly sensitive?: boolean | undefined
}

/**
 * Asks for a yes or a no.
 *
 * @category models
 * @since 0.2.0
 */
export interface ApprovalRequest extends RequestOptions<boolean> {
  readonly kind: "approval"
}

/**
 * Asks for one of some options, as texts or with a label for people.
 *
 * @category models
 * @since 0.2.0
 */
export interface ChoiceRequest<out Value extends string> extends RequestOptions<Value> {
  readonly kind: "choice"
  readonly options: ReadonlyArray<Value | { readonly value: Value; readonly label?: string | undefined }>
}

/**
 * Asks for a text.
 *
 * @category models
 * @since 0.2.0
 */
export interface TextRequest extends RequestOptions<string> {
  readonly kind: "text"
}

/**
 * Asks for what a schema describes. Its JSON Schema goes to devices, so that they can
 * draw a form; the answer is decoded by the schema itself.
 *
 * @category models
 * @since 0.2.0
 */
export interface FormRequest<A> extends RequestOptions<A> {
  readonly kind: "form"
  readonly schema: Schema.Codec<A, unknown>
}

/**
 * Asks the run's user, and waits for the answer. `Needed` is what has to be provided.
 *
 * @category models
 * @since 0.2.0
 */
export interface Ask<out Needed = never> {
  (request: ApprovalRequest): Effect.Effect<boolean, EmitError | AskError, Needed>
  <const Value extends string>(request: ChoiceRequest<Value>): Effect.Effect<Value, EmitError | AskError, Needed>
  (request: TextRequest): Effect.Effect<string, EmitError | AskError, Needed>
  <A>(request: FormRequest<A>): Effect.Effect<A, EmitError | AskError, Needed>
  (request: Request): Effect.Effect<unknown, EmitError | AskError, Needed>
}

/**
 * Any request.
 *
 * @category models
 * @since 0.2.0
 */
export type Request = ApprovalRequest | ChoiceRequest<string> | TextRequest | FormRequest<unknown>

/**
 * Gives what asks by `perform` the types of the answers: a request is answered by what
 * its kind says.
 *
 * @category constructors
 * @since 0.2.0
 */
export const askBy = <Needed = never>(
  perform: (request: Request) => Effect.Effect<unknown, EmitError | AskError, Needed>
): Ask<Needed> => {
  function ask(request: ApprovalRequest): Effect.Effect<boolean, EmitError | AskError, Needed>
  function ask<const Value extends string>(
    request: ChoiceRequest<Value>
  ): Effect.Effect<Value, EmitError | AskError, Needed>
  function ask(request: TextRequest): Effect.Effect<string, EmitError | AskError, Needed>
  function ask<A>(request: FormRequest<A>): Effect.Effect<A, EmitError | AskError, Needed>
  function ask(request: Request): Effect.Effect<unknown, EmitError | AskError, Needed>
  function ask(request: Request): Effect.Effect<unknown, EmitError | AskError, Needed> {
    const answer = perform(request)
    return request.kind === "approval" ? Effect.map(answer, (given) => approvalOf(given).approved) : answer
  }
  return ask
}

const hour = Duration.hours(1)

// How a kind of request is answered, and what devices are told of it.
interface Form {
  readonly kind: AgentEvents.RequestKind
  readonly read: (answer: Schema.Json) => Exit.Exit<unknown, Schema.SchemaError>
  readonly shown: {
    readonly schema?: Schema.JsonObject
    readonly options?: ReadonlyArray<AgentEvents.RequestOption>
  }
}

/**
 * What answers an approval: yes, no, or no with the reason.
 *
 * @category models
 * @since 0.2.0
 */
export const Approval = Schema.Union([
  Schema.Boolean,
  Schema.Struct({ approved: Schema.Boolean, reason: Schema.optionalKey(Schema.String) })
])

/**
 * An answer to an approval, with the reason where it has one.
 *
 * @category conversions
 * @since 0.2.0
 */
export const approvalOf = (answer: unknown): { readonly approved: boolean; readonly reason?: string } => {
  const read = decodeApproval(answer)
  if (Exit.isFailure(read)) return { approved: false }
  return typeof read.value === "boolean" ? { approved: read.value } : read.value
}

const decodeApproval = Schema.decodeUnknownExit(Approval)

const formOf = (request: Request): Form => {
  const { kind } = request
  switch (kind) {
    case "approval":
      return { kind, read: decodeApproval, shown: {} }
    case "text":
      return { kind, read: Schema.decodeUnknownExit(Schema.String), shown: {} }
    case "choice": {
      const options = request.options.map((option) => {
        if (typeof option === "string") return { value: option }
        const { label, value } = option
        return label === undefined ? { value } : { value, label }
      })
      return {
        kind,
        read: Schema.decodeUnknownExit(Schema.Literals(options.map(({ value }) => value))),
        shown: { options }
      }
    }
    case "form": {
      const codec = Schema.toCodecJson(request.schema)
      return { kind, read: Schema.decodeUnknownExit(codec), shown: { schema: CommandData.toJsonSchema(codec) } }
    }
  }
}

interface Open {
  readonly read: Form["read"]
  readonly isSensitive: boolean
  readonly answered: Deferred.Deferred<unknown, "withdrawn">
}

// The requests of a run that are open, and what takes their answers.
class Requests implements CommandTaker {
  readonly open = new Map<string, Open>()
  readonly #reporter: Reporter
  readonly #binding: Binding

  constructor(reporter: Reporter, binding: Binding) {
    this.#reporter = reporter
    this.#binding = binding
  }

  take(data: Schema.Json | undefined, client: string | undefined): Command.Outcome {
    const given = decodeAnswer(data)
    if (Exit.isFailure(given)) return CommandData.invalid(given.cause, ["data"])
    const { answer, requestId } = given.value
    const request = this.open.get(requestId)
    if (request === undefined) return Command.refused("ended", { message: "No such request of the run is open" })
    const read = request.read(answer)
    if (Exit.isFailure(read)) return CommandData.invalid(read.cause, ["data", "answer"])
    this.open.delete(requestId)
    this.resolve(requestId, "answered", {
      ...(request.isSensitive ? {} : { answer }),
      ...(client === undefined ? {} : { client })
    })
    Deferred.doneUnsafe(request.answered, Exit.succeed(read.value))
    return Command.accepted
  }

  close(): void {
    const open = [...this.open]
    this.open.clear()
    for (const [requestId, { answered }] of open) {
      this.resolve(requestId, "withdrawn")
      Deferred.doneUnsafe(answered, Exit.fail("withdrawn"))
    }
  }

  /** Tells devices what came of a request, where its run has not ended: the ending says it by itself. */
  resolve(
    requestId: string,
    outcome: AgentEvents.RequestOutcome,
    details: { readonly answer?: Schema.Json; readonly client?: string } = {}
  ): void {
    const { acceptor, counters } = this.#reporter
    if (runOf(this.#binding)?.state._tag !== "Active") return
    const event = AgentEvents.InputResolved.make({ requestId, outcome, ...details })
    const emission = acceptor.emit(this.#binding, event, true)
    if (Exit.isExit(emission) && Exit.isFailure(emission)) counters.unreported++
  }
}

const decodeAnswer = Schema.decodeUnknownExit(Command.AnswerData)

const requestsOf = (reporter: Reporter, binding: Binding, record: RunRecord): Requests => {
  const known = record.takers?.get("answer")
  if (known instanceof Requests) return known
  const requests = new Requests(reporter, binding)
  binding.outbox.runs.addTaker(record, "answer", requests)
  return requests
}

/**
 * Asks, and waits for the answer; what `Emitter.ask` runs. With `toolCallId` it is that
 * tool call which waits. An approval is given as its `Approval`.
 *
 * @category operations
 * @since 0.2.0
 */
export const ask = (
  reporter: Reporter,
  binding: Binding,
  request: Request,
  toolCallId?: string
): Effect.Effect<unknown, EmitError | AskError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { acceptor, clock } = reporter
      const record = runOf(binding)
      if (record?.isConducted !== true) {
        return yield* acceptor.rejected(new NoRun({ event: AgentEvents.InputRequested.name }))
      }
      if (record.isStopped) return yield* Effect.interrupt
      const requests = requestsOf(reporter, binding, record)
      const requestId = `request-${binding.outbox.runs.nextRequest(record)}`
      const { kind, read, shown } = formOf(request)
      const timeout = Duration.max(Duration.fromInputUnsafe(request.timeout ?? hour), Duration.zero)
      const answered = Deferred.makeUnsafe<unknown, "withdrawn">()
      const isSensitive = request.sensitive === true
      requests.open.set(requestId, { read, isSensitive, answered })
      // Whether it is settled here, and not by an answer or the end of the run.
      const isOurs = () => requests.open.delete(requestId)
      const event = AgentEvents.InputRequested.make({
        requestId,
        kind,
        title: request.title,
        ...shown,
        ...(request.detail === undefined ? {} : { detail: request.detail }),
        ...(toolCallId === undefined ? {} : { toolCallId }),
        ...(isSensitive ? { sensitive: true } : {}),
        ...(Duration.isFinite(timeout)
          ? { expiresAt: Math.floor(clock.currentTimeMillisUnsafe() + Duration.toMillis(timeout)) }
          : {})
      })
      yield* Effect.onError(acceptor.emit(binding, event), () => Effect.sync(isOurs))
      const failed = (reason: AskError["reason"]) => new AskError({ reason, requestId, title: request.title })
      const withdraw = Effect.sync(() => {
        if (isOurs()) requests.resolve(requestId, "withdrawn")
      })
      const awaited = Effect.mapError(Deferred.await(answered), failed)
      const answer = yield* restore(Effect.timeoutOption(awaited, timeout)).pipe(Effect.onInterrupt(() => withdraw))
      if (Option.isSome(answer)) return answer.value
      // An answer may have come at the same moment.
      if (!isOurs()) return yield* awaited
      requests.resolve(requestId, "expired")
      return request.default === undefined ? yield* failed("expired") : request.default
    })
  )
