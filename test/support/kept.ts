/**
 * Ends what a test started when the test's own process ends, however that ends: one that gets SIGKILL runs nothing more.
 */
import { type ChildProcess, spawn } from "node:child_process"

// The end of its input is the end of whoever started it. A process that stands still ends by SIGKILL as well.
const watching = `
cat > /dev/null
kill -9 $(cat "/proc/$1/task/$1/children" 2> /dev/null) "$1" 2> /dev/null
if [ -n "$2" ]; then rm -rf "$2"; fi
`

/**
 * Ends a process with its children, and removes its directory, should this process end first.
 */
export const keep = (child: ChildProcess, directory = ""): void => {
  if (child.pid === undefined) return
  const watcher = spawn("/bin/sh", ["-c", watching, "sh", String(child.pid), directory], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"]
  })
  watcher.unref()
  // A watcher that was killed has nothing to read.
  watcher.stdin.on("error", () => {})
  child.once("exit", () => watcher.kill("SIGKILL"))
}
