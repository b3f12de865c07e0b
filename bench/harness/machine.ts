/**
 * What the figures were measured on and with.
 */
import { createRequire } from "node:module"
import { readFileSync } from "node:fs"
import * as os from "node:os"
import * as Schema from "effect/Schema"

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly node: string
  readonly packages: Record<string, string>
}

const Manifest = Schema.fromJsonString(Schema.Struct({ version: Schema.String }))

const versionOf = (name: string): string => {
  const file = createRequire(import.meta.url).resolve(`${name}/package.json`)
  return Schema.decodeSync(Manifest)(readFileSync(file, "utf8")).version
}

export const describeMachine = (): Machine => ({
  cpu: os.cpus()[0]?.model.trim() ?? "unknown",
  cores: os.availableParallelism(),
  memoryBytes: os.totalmem(),
  node: process.version,
  packages: Object.fromEntries(
    [
      "effect",
      "@effect/platform-node",
      "redis",
      "ws",
      "socket.io",
      "@socket.io/redis-streams-adapter"
    ].map((name) => [name, versionOf(name)])
  )
})
