import type { Moment } from "../../src/client/session/SessionState.ts"

/** A moment at which both clocks show the same, or the wall clock is ahead. */
export const moment = (monotonic: number, ahead = 0): Moment => ({ monotonic, wall: monotonic + ahead })
