import { spawn } from "node:child_process"

/**
 * Starts a process that spools events 1, 2, 3, … of users u0, u1, …, kills it with SIGKILL once it said of `lines` events
 * that they are kept, and gives the last that it said of each user.
 */
export const spoolUntilKilled = (options: { readonly file: string; readonly users: number; readonly lines: number }) =>
  new Promise<ReadonlyMap<string, number>>((resolve, reject) => {
    const script = new URL("spool-child.ts", import.meta.url).pathname
    const args = ["--disable-warning=ExperimentalWarning", script, options.file, String(options.users)]
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
