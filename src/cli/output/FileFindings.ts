/**
 * What there is to find of any file that holds users' events: its directory, its disk,
 * and who may read and write it.
 *
 * @since 0.2.0
 */
import { accessSync, constants, statfsSync, statSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { fault, type Finding, note, warning } from "./Finding.ts"

const attempt = <A>(use: () => A): A | undefined => {
  try {
    return use()
  } catch {
    return undefined
  }
}

const isWritable = (path: string): boolean => attempt(() => accessSync(path, constants.W_OK) ?? true) === true

const leastFree = 256 * 1024 * 1024

/**
 * What there is to say of a file's directory and disk, under the name of a check.
 *
 * @category getters
 * @since 0.2.0
 */
export const ofDirectory = (check: string, file: string): ReadonlyArray<Finding> => {
  const directory = dirname(resolve(file))
  const stat = attempt(() => statSync(directory))
  if (stat === undefined) {
    return [
      fault(check, `there is no directory ${directory}`, `mkdir -p ${directory}, owned by the user of the service`)
    ]
  }
  if (!isWritable(directory)) {
    return [
      fault(
        check,
        `${directory} may not be written to`,
        "give it to the user of the service, and run doctor as that user"
      )
    ]
  }
  const space = attempt(() => statfsSync(directory))
  const free = space === undefined ? Number.POSITIVE_INFINITY : space.bavail * space.bsize
  if (free >= leastFree) return []
  return [
    warning(
      check,
      `its disk has ${Math.floor(free / 1024 / 1024)} MiB left`,
      "make room, or move the file to a larger disk"
    )
  ]
}

const othersToo = 0o077

/**
 * What there is to say of who may read and write a file.
 *
 * @category getters
 * @since 0.2.0
 */
export const ofFile = (check: string, file: string): ReadonlyArray<Finding> => {
  const stat = attempt(() => statSync(file))
  if (stat === undefined) return [note(check, `there is no ${file} yet; the first process makes it`)]
  if (!isWritable(file)) {
    return [
      fault(check, `${file} may not be written to`, "give it to the user of the service, and run doctor as that user")
    ]
  }
  return (stat.mode & othersToo) === 0
    ? []
    : [warning(check, `others may read ${file}, which holds users' events`, `chmod 600 ${file}`)]
}
