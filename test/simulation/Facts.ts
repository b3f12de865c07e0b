/**
 * What a simulation knows: what was emitted and what became of it, and where events were seen. It knows nothing of how the
 * package works; it recognises events by the numbers that were put into their payloads.
 */
import type { Emitter, Identity } from "../../src/index.ts"
import type { Kind } from "./Schedule.ts"

/** A promise that was found broken. */
export class Broken extends Error {
  readonly promise: string

  constructor(promise: string, what: string) {
    super(`${promise}: ${what}`)
    this.promise = promise
  }
}

export const broken = (promise: string, what: string): never => {
  throw new Broken(promise, what)
}

export interface Emission {
  readonly tag: number
  readonly user: Identity.UserId
  readonly life: number
  readonly run: string | undefined
  readonly kind: Kind
  /** When it was accepted: not before `from`, not after `by`; times are counted in steps of this record. */
  readonly from: number
  by: number
  accepted: boolean | "unknown"
  outcome: Emitter.Receipt["_tag"] | "refused" | "notConfirmed" | "interrupted" | undefined
  channel: string | undefined
  /** It may come late: it was a dead letter, or asked for confirmation. */
  mayBeLate: boolean
  /** When it must be in the log, in milliseconds of the monotonic clock, since nothing but others' trouble is in its way. */
  due: number | undefined
}

/** Events that an engine counted as dropped, all at once. Times are those of `Emission`. */
export interface Drop {
  readonly life: number
  readonly at: number
  readonly events: number
}

/** An event as it was seen somewhere. */
export interface Seen {
  readonly user: Identity.UserId
  readonly id: string
  readonly type: string
  readonly run: string | undefined
  readonly tags: ReadonlyArray<number>
  /** It is an ending that the broker wrote, since the process of its run is gone. */
  readonly isLost: boolean
}

export interface Logged extends Seen {
  readonly offset: number
}

const isCriticalKind: Record<Kind, boolean> = {
  critical: true,
  thinking: true,
  large: true,
  confirmed: true,
  poison: true,
  poisonBatched: false,
  invalid: false,
  batched: false,
  volatile: false,
  text: false,
  progress: false
}

export const isCritical = ({ kind }: Emission): boolean => isCriticalKind[kind]
export const isPoison = ({ kind }: Pick<Emission, "kind">): boolean => kind === "poison" || kind === "poisonBatched"
export const merges = ({ kind }: Emission): boolean => kind === "text" || kind === "progress"

/** The numbers that an event carries. */
export const tagsOf = (type: string, data: Readonly<Record<string, unknown>>): ReadonlyArray<number> => {
  switch (type) {
    case "custom":
      return [Number.parseInt(String(data["data"]), 10)]
    case "hint":
      return [Number(data["n"])]
    case "agent_thinking":
      return [Number(data["text"])]
    case "progress_update":
      return [Number(data["message"])]
    case "text_delta":
      return String(data["delta"]).split(";").filter((part) => part !== "").map(Number)
    default:
      return []
  }
}
