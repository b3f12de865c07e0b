/**
 * What `doctor` finds: one line each, with its remedy where something is wrong.
 *
 * @since 0.2.0
 */

/**
 * How bad it is: `fault` keeps events or devices from where they belong, `warning`
 * will one day, `note` is worth knowing.
 *
 * @category models
 * @since 0.2.0
 */
export type Severity = "ok" | "note" | "warning" | "fault"

/**
 * One finding. `check` names what was looked at, in two words at most, and is the
 * same for the same trouble each time. What is not `ok` or a `note` has a `remedy`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Finding {
  readonly check: string
  readonly severity: Severity
  readonly message: string
  readonly remedy?: string
}

/**
 * What is as it should be.
 *
 * @category constructors
 * @since 0.2.0
 */
export const ok = (check: string, message: string): Finding => ({ check, severity: "ok", message })

/**
 * What is worth knowing.
 *
 * @category constructors
 * @since 0.2.0
 */
export const note = (check: string, message: string): Finding => ({ check, severity: "note", message })

/**
 * What will be trouble one day.
 *
 * @category constructors
 * @since 0.2.0
 */
export const warning = (check: string, message: string, remedy: string): Finding => ({
  check,
  severity: "warning",
  message,
  remedy
})

/**
 * What is trouble now.
 *
 * @category constructors
 * @since 0.2.0
 */
export const fault = (check: string, message: string, remedy: string): Finding => ({
  check,
  severity: "fault",
  message,
  remedy
})
