import { execFile, spawn } from "node:child_process"
import { promisify } from "node:util"

const script = new URL("spool-child.ts", import.meta.url).pathname
const quiet = "--disable-warning=ExperimentalWarning"

/** What comes of opening the file in another process: `opened`, or why not. */
export const openElsewhere = async (file: string): Promise<string> =>
  (await promisify(execFile)(process.execPath, [quiet, script, file, "0", "open"], { timeout: 120_000 })).stdout.trim()

/**
 * Starts a process that spools events 1, 2, 3, … of users u0, u1, …, kills it with SIGKILL once it said of `lines` events
 * that they are kept, and gives the last that it said of each user. With `letters` it makes a dead letter of each first.
 */
export const spoolUntilKilled = (options: {
  readonly file: string
  readonly users: number
  readonly lines: number
  readonly letters?: boolean
}) =>
  new Promise<ReadonlyMap<string, number>>((resolve, reject) => {
    const mode = options.letters === true ? "letters" : "spool"
    const args = [quiet, script, options.file, String(options.users), mode]
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] })
    let said = ""
    let complaint = ""
    child.stderr.on("data", (chunk) => complaint += chunk)
    child.stdout.on("data", (chunk) => {
      said += chunk
      if (said.split("\n").length > options.lines) child.kill("SIGKILL")
    })
    child.on("error", reject)
    child.on(
      "close",
      (_code, signal) =>
        signal === "SIGKILL" ? resolve(lastOf(said)) : reject(new Error(`the process ended by itself: ${complaint}`))
    )
  })

// The last line may have been cut; of what is whole the process knew that it is kept.
const lastOf = (said: string): ReadonlyMap<string, number> => {
  const last = new Map<string, number>()
  for (const line of said.split("\n").slice(0, -1)) {
    const [user = "", sequence = ""] = line.split(" ")
    last.set(user, Number(sequence))
  }
  return last
}
