/**
 * What the wire names of built-in events mean for their run: which one starts
 * it, which ones end it, and which ones its snapshot is made of. Everybody who
 * reads events off the wire asks here.
 *
 * This module loads nothing, so that a page can have it without Effect.
 *
 * @since 0.1.0
 */

/**
 * The event that starts a run.
 *
 * @category names
 * @since 0.1.0
 */
export const started = "agent_started"

/**
 * The event that ends a run with a result.
 *
 * @category names
 * @since 0.1.0
 */
export const completed = "agent_completed"

/**
 * The event that ends a run without a result.
 *
 * @category names
 * @since 0.1.0
 */
export const failed = "agent_error"

/**
 * The event that tells a step of thought, whole.
 *
 * @category names
 * @since 0.1.0
 */
export const thinking = "agent_thinking"

/**
 * The event that opens a tool call.
 *
 * @category names
 * @since 0.1.0
 */
export const toolExecuting = "tool_executing"

/**
 * The event that ends a tool call.
 *
 * @category names
 * @since 0.1.0
 */
export const toolCompleted = "tool_completed"

/**
 * The event that adds to the answer.
 *
 * @category names
 * @since 0.1.0
 */
export const textDelta = "text_delta"

/**
 * The event that adds to the thought.
 *
 * @category names
 * @since 0.1.0
 */
export const thinkingDelta = "thinking_delta"

/**
 * The event that tells how far a run is.
 *
 * @category names
 * @since 0.1.0
 */
export const progress = "progress_update"

/**
 * The event that adds to what a run has used.
 *
 * @category names
 * @since 0.1.0
 */
export const usage = "usage_reported"

/**
 * The event by which a run asks its user for something.
 *
 * @category names
 * @since 0.2.0
 */
export const inputRequested = "input_requested"

/**
 * The event that tells what came of such a request.
 *
 * @category names
 * @since 0.2.0
 */
export const inputResolved = "input_resolved"

/**
 * The event that adds to the input of a tool call, as the model writes it.
 *
 * @category names
 * @since 0.2.0
 */
export const toolInputDelta = "tool_input_delta"

/**
 * The event that tells that nothing more comes of a message.
 *
 * @category names
 * @since 0.2.0
 */
export const messageCompleted = "message_completed"

/**
 * The event that begins a step of the run.
 *
 * @category names
 * @since 0.2.0
 */
export const stepStarted = "step_started"

/**
 * The event that ends such a step.
 *
 * @category names
 * @since 0.2.0
 */
export const stepFinished = "step_finished"

/**
 * The event that tells the state that the run shares with devices, whole.
 *
 * @category names
 * @since 0.2.0
 */
export const stateSnapshot = "state_snapshot"

/**
 * The event that tells what has changed in that state.
 *
 * @category names
 * @since 0.2.0
 */
export const stateDelta = "state_delta"

/**
 * The event that names a source of the answer.
 *
 * @category names
 * @since 0.2.0
 */
export const sourceCited = "source_cited"

/**
 * The event that tells of a file that the run made.
 *
 * @category names
 * @since 0.2.0
 */
export const fileProduced = "file_produced"

/**
 * All built-in events of a run.
 *
 * @category names
 * @since 0.1.0
 */
export const names = [
  started,
  thinking,
  toolExecuting,
  toolCompleted,
  textDelta,
  thinkingDelta,
  progress,
  usage,
  inputRequested,
  inputResolved,
  toolInputDelta,
  messageCompleted,
  stepStarted,
  stepFinished,
  stateSnapshot,
  stateDelta,
  sourceCited,
  fileProduced,
  completed,
  failed
] as const

const folded: ReadonlySet<string> = new Set(names)

/**
 * Whether events of this wire name start their run.
 *
 * @category guards
 * @since 0.1.0
 */
export const isStart = (type: string): boolean => type === started

/**
 * Whether events of this wire name end their run.
 *
 * @category guards
 * @since 0.1.0
 */
export const isTerminal = (type: string): boolean => type === completed || type === failed

/**
 * How a program's own events are kept in the state of their run: each as a part, or
 * the newest of a name in the place of the first.
 *
 * @category guards
 * @since 0.2.0
 */
export const keeps = ["part", "newest"] as const satisfies ReadonlyArray<Keep>

/**
 * How own events are kept in the state of their run, for devices that were not
 * there for them.
 *
 * - `part`: each is a part of its own, in the place where it came.
 * - `newest`: there is one part for all of a name, in the place of the first, with
 *   what the newest says.
 *
 * @category models
 * @since 0.2.0
 */
export type Keep = "part" | "newest"

/**
 * Whether events of this wire name may change their run's snapshot.
 *
 * @category guards
 * @since 0.1.0
 */
export const isFolded = (type: string, keep?: Keep): boolean => keep !== undefined || folded.has(type)

/**
 * Why a run can end without a result: it failed, was cancelled, ran out of time,
 * or its process vanished.
 *
 * @category reasons
 * @since 0.1.0
 */
export const errorReasons = ["failed", "cancelled", "timeout", "lost"] as const

/**
 * One of these reasons.
 *
 * @category reasons
 * @since 0.1.0
 */
export type ErrorReason = (typeof errorReasons)[number]

/**
 * The reason that an `agent_error` names; `failed` where it names none that is
 * known.
 *
 * @category reasons
 * @since 0.1.0
 */
export const reasonOf = (reason: unknown): ErrorReason => errorReasons.find((known) => known === reason) ?? "failed"

/**
 * Who ended a run without a result: its user, or its program.
 *
 * @category reasons
 * @since 0.2.0
 */
export const enders = ["user", "program"] as const

/**
 * What a run can ask for: a yes or no, one of some options, a text, or a form.
 *
 * @category requests
 * @since 0.2.0
 */
export const requestKinds = ["approval", "choice", "text", "form"] as const

/**
 * What can come of a request: it was answered, its time was over, or nobody waits
 * for an answer any more.
 *
 * @category requests
 * @since 0.2.0
 */
export const requestOutcomes = ["answered", "expired", "withdrawn"] as const

/**
 * The payload of the `agent_error` that ends a run whose process vanished:
 * asking again may help.
 *
 * @category reasons
 * @since 0.1.0
 */
export const lost = (message: string) => ({ reason: "lost", message, retryable: true }) as const

/**
 * The most characters of the title of a request or a source.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxTitle = 1_024

/**
 * The most characters of a request's detail, and of a source's excerpt.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxDetail = 4_096

/**
 * The most characters of the name of a device's program.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxClient = 128

/**
 * The most commands that a run names.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxCommands = 64

/**
 * The most characters of an address.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxUrl = 4_096

/**
 * The most characters of a file that is told of whole.
 *
 * @category limits
 * @since 0.2.0
 */
export const maxFileData = 131_072
