/**
 * The ids of the last events a session delivered.
 *
 * Within an epoch the offset tells whether an event is new. After a log lost
 * its memory, an emitter that repeats an append puts an event it had sent
 * before under a new offset of a new epoch: only the id tells that.
 *
 * A value here never changes; adding costs no copy, only a link.
 *
 * @since 0.1.0
 */

/**
 * The newest ids, in links from the newest to the oldest.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecentIds {
  readonly size: number
  readonly links: Link | undefined
}

interface Link {
  readonly ids: ReadonlyArray<string>
  readonly before: Link | undefined
}

/**
 * How many ids are kept at least; at most twice as many.
 *
 * @category limits
 * @since 0.1.0
 */
export const kept = 2_048

/**
 * No ids.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty: RecentIds = { size: 0, links: undefined }

/**
 * Adds ids, newest last.
 *
 * @category combinators
 * @since 0.1.0
 */
export const add = (recent: RecentIds, ids: ReadonlyArray<string>): RecentIds => {
  const size = recent.size + ids.length
  const links = { ids, before: recent.links }
  if (size < 2 * kept) return { size, links }
  const newest = newestOf(links)
  return { size: newest.length, links: { ids: newest, before: undefined } }
}

/**
 * The newest ids as a set.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toSet = (recent: RecentIds): ReadonlySet<string> => new Set(newestOf(recent.links))

const newestOf = (links: Link | undefined): ReadonlyArray<string> => {
  const parts: Array<ReadonlyArray<string>> = []
  let size = 0
  for (let link = links; link !== undefined && size < kept; link = link.before) {
    parts.push(link.ids)
    size += link.ids.length
  }
  return parts.toReversed().flat().slice(-kept)
}
