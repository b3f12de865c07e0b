/**
 * Tells a disk of another machine, where two processes could hold a file at once.
 *
 * @since 0.2.0
 */
import { statfsSync } from "node:fs"
import { dirname, resolve } from "node:path"

// As Linux numbers file systems. Locks do not hold there, or come and go.
const numbered = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xfe534d42, "SMB"],
  [0xff534d42, "CIFS"],
  [0x5346414f, "AFS"]
])

/**
 * What kind of share a file is on, if it is on one. Linux tells by `type`, the number of the directory's file system, Windows by the
 * path; no other system tells.
 *
 * @category getters
 * @since 0.2.0
 */
export const kindOf = (
  file: string,
  platform: NodeJS.Platform = process.platform,
  type: (directory: string) => number = (directory) => statfsSync(directory).type
): string | undefined => {
  const path = platform === "win32" ? file : resolve(file)
  // A number above the half of 32 bits may be told as a negative one.
  if (platform === "linux") return numbered.get(type(dirname(path)) >>> 0)
  return platform === "win32" && /^[\\/]{2}[^?.]/u.test(path) ? "SMB" : undefined
}
