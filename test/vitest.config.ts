/**
 * The tests, in projects. The first two run side by side, and after them the others:
 *
 * - `unit`: all but the following. Its files share a few processes, so that each process loads the sources once: a file
 *   puts back what it changes in its process;
 * - `valkey`, where `valkey-server` is installed: the tests of the Redis broker once more, over Valkey;
 * - `package`: builds and packs the package;
 * - `e2e`: real processes and a real browser.
 *
 * Most tests wait, for sockets, processes and timers, so there are more workers than cores. A test must hold on a machine
 * that is ten times slower: see `support/ownTime.ts`, `support/memory.ts` and `support/patience.ts`.
 *
 * `import … from "effect-emitter"` means the sources here, by the same map that package.json publishes.
 */
import { readFileSync } from "node:fs"
import { availableParallelism } from "node:os"
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

/** How many files run side by side, and when. */
const together = { maxWorkers: 3 * availableParallelism(), sequence: { groupOrder: 1 } }
/** Files that start processes and browsers of their own. */
const heavy = { maxWorkers: availableParallelism(), sequence: { groupOrder: 2 } }

/** The tests of `npm run test:quick`: of what is pure, or runs by a test's clock. */
const quick = [
  "test/protocol/{event,run,settings,values,wire}/!(AgentEvents|AsyncApi|Names|Present).test.ts",
  "test/broker/memory/!(MemoryBound).test.ts",
  "test/emitter/{accept,dispatch,observe,resilience,run,user}/*.test.ts",
  "test/emitter/delivery/{Delivery,LostRuns}.test.ts",
  "test/emitter/{Emitter,EmitterConfig,EmitterPool}.test.ts",
  "test/hub/**/*.test.ts",
  "test/client/session/*.test.ts",
  "test/client/{Client,connect}.test.ts",
  "test/simulation/Simulation.test.ts"
]

const ci = process.env["CI"] === "true"

export default defineConfig({
  root,
  resolve: { alias },
  test: {
    pool: "forks",
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 10_000,
    allowOnly: false,
    reporters: ci ? ["default", ["json", { outputFile: ".tmp/test-results.json" }]] : ["default"],
    projects: [
      {
        extends: true,
        test: {
          ...together,
          name: "unit",
          include: process.env["QUICK"] === undefined ? ["test/**/*.test.ts"] : quick,
          exclude: [...configDefaults.exclude, "test/package/**", "test/e2e/**"],
          isolate: false
        }
      },
      ...(hasValkey
        ? [{
          extends: true as const,
          test: {
            ...together,
            name: "valkey",
            include: ["test/broker/redis/Redis*.test.ts"],
            isolate: false,
            env: { TESTED_SERVER: "valkey-server" }
          }
        }]
        : []),
      {
        extends: true,
        test: {
          ...heavy,
          name: "package",
          include: ["test/package/**/*.test.ts"]
        }
      },
      {
        extends: true,
        test: {
          ...heavy,
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"]
        }
      }
    ]
  }
})
