/** Plays the end of a machine: a file as its disk has it then, without the last writes. */
import { copyFileSync, readFileSync, writeFileSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { pageBytes } from "../../../src/broker/sqlite/worker/Layout.ts"
import type { Draw } from "../../support/random.ts"

// A frame of the log of writes is a page with a header, which repeats the eight bytes of salt in the log's own.
export const frameBytes = 24 + pageBytes

/** How many frames the log of writes has. */
export const framesOf = (log: Buffer): number => {
  const salt = log.subarray(16, 24)
  let frames = 0
  for (let at = 32; at + frameBytes <= log.length && log.subarray(at + 8, at + 16).equals(salt); at += frameBytes) {
    frames++
  }
  return frames
}

/** How many transactions the log of writes has: the last frame of each says how large the file is then. */
export const commitsOf = (log: Buffer): number => {
  let commits = 0
  for (let frame = 0; frame < framesOf(log); frame++) {
    if (log.readUInt32BE(32 + frame * frameBytes + 4) > 0) commits++
  }
  return commits
}

/** As the README tells whoever puts an older copy back: the file was open when another boot of the machine ended. */
export const asOfAnotherBoot = (file: string): void => {
  const database = new DatabaseSync(file)
  database.exec(
    "UPDATE meta SET value = 'open' WHERE key = 'state'; UPDATE meta SET value = 'restored' WHERE key = 'boot'"
  )
  database.close()
}

// From so many frames on they are moved into the file, and are on the disk by then.
const mostFrames = 900

const sectorBytes = 512

/**
 * Copies the file as a disk may have it whose machine ends now: the log of writes up to some byte, and some of its last
 * sectors not written, though later ones are. Says whether it did: not where writes are in the file already.
 */
export const copyTorn = (file: string, copy: string, draw: Draw): boolean => {
  const log = readFileSync(`${file}-wal`)
  const frames = framesOf(log)
  if (frames === 0 || frames > mostFrames) return false
  const torn = log.subarray(0, 32 + Math.floor(frames * frameBytes * draw.next()))
  for (let holes = draw.below(3); holes > 0; holes--) {
    const from = torn.length - draw.below(8 * frameBytes)
    if (from > 32) torn.fill(0, from, from + sectorBytes)
  }
  copyFileSync(file, copy)
  writeFileSync(`${copy}-wal`, torn)
  return true
}
