/**
 * What the id of an event tells: the source that numbered it, and its number there.
 *
 * @since 0.2.0
 */

/**
 * The source of an event and its number.
 *
 * @category models
 * @since 0.2.0
 */
export interface EventName {
  readonly source: string
  readonly sequence: number
}

/**
 * What an id is made of, or `undefined` where it is no event's.
 *
 * @category conversions
 * @since 0.2.0
 */
export const parse = (id: string): EventName | undefined => {
  const [, source, sequence] = /^(.+-)(\d{1,15})$/u.exec(id) ?? []
  return source === undefined ? undefined : { source, sequence: Number(sequence) }
}
