/**
 * Checks of values by hand: plain programs use the client without Effect, so
 * nothing here may load a schema. Fields that are not known are left in place.
 *
 * @since 0.1.0
 */

/**
 * Whether a value is of a kind.
 *
 * @category models
 * @since 0.1.0
 */
export type Check = (value: unknown) => boolean

/**
 * Whether a value is an object that is no list.
 *
 * @category checks
 * @since 0.1.0
 */
export const isObject = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/**
 * Whether a value is true or false.
 *
 * @category checks
 * @since 0.1.0
 */
export const isBoolean: Check = (value) => typeof value === "boolean"

/**
 * Whether a value is text.
 *
 * @category checks
 * @since 0.1.0
 */
export const isString: Check = (value) => typeof value === "string"

/**
 * Whether a value is text with something in it.
 *
 * @category checks
 * @since 0.1.0
 */
export const isName: Check = (value) => typeof value === "string" && value !== ""

/**
 * Whether a value is a number.
 *
 * @category checks
 * @since 0.1.0
 */
export const isFinite: Check = (value) => Number.isFinite(value)

/**
 * Whether a value is a whole number.
 *
 * @category checks
 * @since 0.1.0
 */
export const isInt: Check = (value) => Number.isSafeInteger(value)

/**
 * Whether a value is a whole number from 0 up.
 *
 * @category checks
 * @since 0.1.0
 */
export const isCount: Check = (value) => typeof value === "number" && Number.isSafeInteger(value) && value >= 0

/**
 * Whether a value is a number from 0 up.
 *
 * @category checks
 * @since 0.1.0
 */
export const isAmount: Check = (value) => typeof value === "number" && Number.isFinite(value) && value >= 0

/**
 * Takes every value.
 *
 * @category checks
 * @since 0.1.0
 */
export const isAny: Check = () => true

/**
 * Whether a value is one of these texts.
 *
 * @category checks
 * @since 0.1.0
 */
export const isOneOf = (...values: ReadonlyArray<string>): Check => (value) =>
  typeof value === "string" && values.includes(value)

/**
 * Whether a value is a list of which every item passes the check.
 *
 * @category checks
 * @since 0.1.0
 */
export const isArrayOf = (check: Check): Check => (value) => Array.isArray(value) && value.every(check)

/**
 * An object that has the required fields, and of the optional ones those that
 * are right.
 *
 * @category checks
 * @since 0.1.0
 */
export const isShape = (
  required: { readonly [key: string]: Check },
  optional: { readonly [key: string]: Check } = {}
): Check => {
  const must = Object.entries(required)
  const may = Object.entries(optional)
  return (value) =>
    isObject(value) &&
    must.every(([key, check]) => Object.hasOwn(value, key) && check(value[key])) &&
    may.every(([key, check]) => !Object.hasOwn(value, key) || check(value[key]))
}

/**
 * The tokens that a run used.
 *
 * @category checks
 * @since 0.1.0
 */
export const usage = [{ inputTokens: isCount, outputTokens: isCount }, { cost: isAmount }] as const
