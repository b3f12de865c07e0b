/**
 * Which boot of the machine this is.
 *
 * @since 0.2.0
 */
import { readFileSync } from "node:fs"
import { uptime } from "node:os"

/**
 * A text that is the same until the machine boots again; `wallMs` is the time now. Where the system has no name for it, it is told by when that
 * was, to within ten minutes: a boot may then be taken for another, which costs devices a gap, and no event.
 *
 * @category getters
 * @since 0.2.0
 */
export const current = (wallMs: number): string => {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
  } catch {
    return `around ${Math.round((wallMs / 1_000 - uptime()) / 600)}`
  }
}
