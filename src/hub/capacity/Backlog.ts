/**
 * Counts the bytes that wait for the network, on one node.
 *
 * For a device that does not read, this process holds what its transport has not
 * handed over: a frame or a snapshot, and what its socket holds before it is full.
 * What waits for one device is bounded, and so is the sum:
 *
 * - a connection for which more than `perConnection` bytes wait is closed;
 * - past three quarters of `perNode`, the connection for which most waits is closed,
 *   and then the next;
 * - what a closing connection still holds counts until its socket is gone. Past
 *   `perNode`, those that are closing are cut, the oldest first.
 *
 * So no more than `perNode` and one write wait at any time.
 *
 * @since 0.1.0
 */

/**
 * The most bytes that may wait for one connection, and for all of a node.
 *
 * @category models
 * @since 0.1.0
 */
export interface BacklogLimits {
  readonly perConnection: number
  readonly perNode: number
}

/**
 * A connection that bytes wait for. `closeAsSlow` ends it, and must call `end`.
 * `cut` ends it without a word, and frees what it holds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Holder {
  readonly closeAsSlow: () => void
  readonly cut: () => void
}

/**
 * Mutable: it counts each write of each connection, by plain calls.
 *
 * @category models
 * @since 0.1.0
 */
export class Backlog {
  private readonly limits: BacklogLimits
  private readonly open = new Map<Holder, number>()
  // In the order in which they began to close.
  private readonly closing = new Map<Holder, number>()
  private openBytes = 0
  private closingBytes = 0
  private closedForBytes = 0

  constructor(limits: BacklogLimits) {
    this.limits = limits
  }

  /** How many bytes wait, as far as connections have counted. */
  get total(): number {
    return this.openBytes + this.closingBytes
  }

  /** How many connections were closed for what waited for them. */
  get closedCount(): number {
    return this.closedForBytes
  }

  /** So many bytes wait for this connection now. That may end it, or others. */
  set(holder: Holder, bytes: number): void {
    const before = this.open.get(holder) ?? 0
    if (bytes === before || this.closing.has(holder)) return
    this.openBytes += bytes - before
    if (bytes === 0) this.open.delete(holder)
    else this.open.set(holder, bytes)
    if (bytes < before) return
    if (bytes > this.limits.perConnection) this.close(holder)
    while (this.openBytes > this.limits.perNode * 0.75) {
      const most = this.most()
      if (most === undefined) break
      this.close(most)
    }
    for (const [oldest] of this.closing) {
      if (this.total <= this.limits.perNode) break
      this.free(oldest)
      oldest.cut()
    }
  }

  /** It sends nothing more. What waits for it still does. */
  end(holder: Holder): void {
    const bytes = this.open.get(holder)
    if (bytes === undefined) return
    this.open.delete(holder)
    this.openBytes -= bytes
    this.closing.set(holder, bytes)
    this.closingBytes += bytes
  }

  /** Its socket is gone, and what it held with it. */
  free(holder: Holder): void {
    this.openBytes -= this.open.get(holder) ?? 0
    this.open.delete(holder)
    this.closingBytes -= this.closing.get(holder) ?? 0
    this.closing.delete(holder)
  }

  private close(holder: Holder): void {
    this.closedForBytes++
    holder.closeAsSlow()
    this.end(holder)
  }

  private most(): Holder | undefined {
    let found: Holder | undefined
    let most = 0
    for (const [holder, bytes] of this.open) {
      if (bytes <= most) continue
      found = holder
      most = bytes
    }
    return found
  }
}
