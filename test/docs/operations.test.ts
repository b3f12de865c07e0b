/** What `src/gateway/operations/README.md` has supervisors expect of a process is what it does. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { pathToFileURL } from "node:url"

const guide = readFileSync(new URL("../../src/gateway/operations/README.md", import.meta.url), "utf8")
const resolve = (name: string) => JSON.stringify(pathToFileURL(createRequire(import.meta.url).resolve(name)).href)

const program = `
import * as Effect from ${resolve("effect/Effect")}
import { runMain } from ${resolve("@effect/platform-node/NodeRuntime")}
runMain(Effect.andThen(Effect.sync(() => console.log("runs")), Effect.never))
`

describe("the operators' guide", () => {
  it.live("has systemd take the code that a program ends with on SIGTERM for success", () =>
    Effect.gen(function*() {
      const child = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: ["ignore", "pipe", "inherit"] })
        ),
        (started) => Effect.sync(() => void started.kill("SIGKILL"))
      )
      const code = yield* Effect.callback<number | null>((resume) => {
        child.once("exit", (code) => resume(Effect.succeed(code)))
        child.stdout.once("data", () => child.kill("SIGTERM"))
      })
      assert.match(guide, new RegExp(`^SuccessExitStatus=${code}$`, "mu"))
    }))

  it("has the port that is probed be reached from outside of a pod", () => {
    const [, port] =
      /^Several replicas .*`Operations\.layerServer\(\{ port: (\d+), host: "0\.0\.0\.0" \}\)`/mu.exec(guide) ?? []
    assert.include(guide, `{ name: operations, containerPort: ${port} }`)
    assert.include(guide, `http://127.0.0.1:${port}/healthz`)
  })
})
