/**
 * Some projects, run one after another so that they do not fight over the machine's cores:
 *
 * - `unit`: everything in one process, many files at a time;
 * - `valkey`, where `valkey-server` is installed: the tests of the Redis broker once more, over Valkey;
 * - `package`: builds and packs the package;
 * - `e2e`: real processes and a real browser, one file at a time.
 *
 * `import … from "effect-emitter"` means the sources here, by the same map that package.json publishes.
 */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { configDefaults, defineConfig } from "vitest/config"
import { lookFor } from "./support/program.ts"

const root = fileURLToPath(new URL("..", import.meta.url))

interface Manifest {
  readonly name: string
  readonly exports: Record<string, { readonly default: string } | string>
}

const { exports, name }: Manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"))

/** Every published entry, and the source file it is built from. */
const alias = Object.entries(exports).flatMap(([subpath, target]) =>
  typeof target === "string" ? [] : [{
    find: new RegExp(`^${name}${subpath.slice(1)}$`),
    replacement: root + target.default.replace(/^\.\/dist\//, "src/").replace(/\.js$/, ".ts")
  }]
)

const hasValkey = lookFor("valkey-server") !== undefined
if (!hasValkey) {
  process.stderr.write("valkey-server is not installed: the Redis broker is tested over redis-server alone\n")
}

const ci = process.env["CI"] === "true"

export default defineConfig({
  root,
  resolve: { alias },
  test: {
    pool: "forks",
    hookTimeout: 120_000,
    teardownTimeout: 10_000,
    allowOnly: false,
    reporters: ci ? ["default", ["json", { outputFile: ".tmp/test-results.json" }]] : ["default"],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [...configDefaults.exclude, "test/package/**", "test/e2e/**"],
          testTimeout: 120_000,
          maxWorkers: 6,
          sequence: { groupOrder: 1 }
        }
      },
      ...(hasValkey
        ? [{
          extends: true as const,
          test: {
            name: "valkey",
            include: ["test/broker/redis/Redis*.test.ts"],
            env: { TESTED_SERVER: "valkey-server" },
            maxWorkers: 6,
            testTimeout: 120_000,
            sequence: { groupOrder: 1 }
          }
        }]
        : []),
      {
        extends: true,
        test: {
          name: "package",
          include: ["test/package/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 6,
          sequence: { groupOrder: 1 }
        }
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 6,
          sequence: { groupOrder: 1 }
        }
      }
    ]
  }
})
