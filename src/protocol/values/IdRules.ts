/**
 * What makes a text an id, and what makes it well-formed.
 *
 * @since 0.1.0
 */

/**
 * The most characters an id may have.
 *
 * @category limits
 * @since 0.1.0
 */
export const maxIdLength = 128

/**
 * Words that are no id: what is left when a value was missing or never filled
 * in. They are refused in any letter case.
 *
 * @category limits
 * @since 0.1.0
 */
export const placeholders: ReadonlySet<string> = new Set([
  "undefined",
  "null",
  "none",
  "nil",
  "nan",
  "registry",
  "placeholder"
])

// White space, the braces of unfilled templates and of Redis hash tags, and what RFC 8264 calls controls, ignorable,
// unassigned and other. A lone surrogate is of category C too.
const forbidden = /[\s{}\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]/u

const codePoint = (value: string, index: number): string =>
  `U+${(value.codePointAt(index) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`

/**
 * Why a text is no id, if it is none.
 *
 * @category checks
 * @since 0.1.0
 */
export const checkId = (value: string): string | undefined => {
  if (value.length === 0) return "an id must not be empty"
  if (value.length > maxIdLength) {
    return `an id may have ${maxIdLength} characters at most, this one has ${value.length}`
  }
  const at = value.search(forbidden)
  if (at >= 0) {
    return "an id must be well-formed Unicode without white space, braces and invisible characters, " +
      `this one has ${codePoint(value, at)} at index ${at}`
  }
  if (placeholders.has(value.toLowerCase())) return `"${value}" is a placeholder, not an id`
  return undefined
}

/**
 * Why a text is not well-formed Unicode, if it is not: UTF-8 cannot write half
 * of a surrogate pair, so what is not well-formed is another text afterwards.
 *
 * @category checks
 * @since 0.1.0
 */
export const checkWellFormed = (value: string): string | undefined => {
  if (value.isWellFormed()) return undefined
  const at = value.search(/\p{Surrogate}/u)
  return `must be well-formed Unicode, but has ${codePoint(value, at)} alone at index ${at}`
}
