/**
 * The tests, in projects. The first two run side by side, and after them the others:
 *
 * - `unit`: all but the following;
 * - `valkey`, where `valkey-server` is installed: the tests of the Redis broker once more, over Valkey;
 * - `package`: builds and packs the package, once for all that need it;
 * - `e2e`: real processes and a real browser.
 *
 * Files share a few processes, so that each process loads the sources once: a file puts back what it changes in its process.
 *
 * A test with the tag `storm` takes long: `npm test` leaves it out, `npm run test:storms` runs those alone, and CI runs both.
 *
 * Most tests wait, for sockets, processes and timers, so there are more workers than cores. A test must hold on a machine
 * that is ten times slower: see `support/ownTime.ts`, `support/memory.ts` and `support/patience.ts`.
 *
 * `import … from "effect-emitter"` means the sources here, by the same map that package.json publishes.
 */
import { existsSync, globSync, readFileSync, rmSync, statSync } from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { configDefaults, defineConfig } from "vitest/config"
import { compileCache } from "./support/compileCache.ts"
import { LongestFirst } from "./support/LongestFirst.ts"
import { lookFor } from "./support/program.ts"
import { ProgressReporter } from "./support/ProgressReporter.ts"

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

// Programs in folders of a test's own are found by nobody again, so what was compiled is thrown away from time to time.
const keptMs = 3 * 24 * 3_600_000
if (existsSync(compileCache) && Date.now() - statSync(compileCache).birthtimeMs > keptMs) {
  rmSync(compileCache, { recursive: true, force: true })
}
process.env["NODE_COMPILE_CACHE"] ??= compileCache

// Compilers and bundlers that are written in Go live for seconds: they collect garbage when it is much, or never.
process.env["GOGC"] ??= "off"
process.env["GOMEMLIMIT"] ??= "1GiB"

const hasValkey = lookFor("valkey-server") !== undefined

/** How many files run side by side, and when. */
const together = { maxWorkers: 3 * availableParallelism(), sequence: { groupOrder: 1 } }
/** Files that start processes and browsers of their own, and wait for them. */
const heavy = { maxWorkers: 2 * availableParallelism(), sequence: { groupOrder: 2 } }

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

/** The files that `npm run test:storms` reads: those with a test of this tag. */
const storms = globSync("test/**/*.test.ts", { cwd: root }).filter((file) =>
  readFileSync(join(root, file), "utf8").includes("\"storm\"")
)

const isQuick = process.env["QUICK"] !== undefined
const isStorm = process.env["STORMS"] !== undefined

/** The files of a folder that are run. */
const filesOf = (folder: string): Array<string> =>
  isStorm ? storms.filter((file) => file.startsWith(folder)) : [`${folder}**/*.test.ts`]

const ci = process.env["CI"] === "true"

export default defineConfig({
  root,
  resolve: { alias },
  test: {
    pool: "forks",
    // A process runs many files, so there is much garbage, and little of it lives long.
    execArgv: ["--max-semi-space-size=32"],
    isolate: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 10_000,
    allowOnly: false,
    setupFiles: ["test/support/assertions.ts"],
    sequence: { sequencer: LongestFirst },
    // What passing tests write, such as what they measured, is shown to whoever wants to see each file.
    silent: process.env["VERBOSE"] === undefined ? "passed-only" : false,
    tags: [{
      name: "storm",
      description: "Takes long for what it finds, by seeds, floods or thousands of reconnects: `npm run test:storms`"
    }],
    // A filter that leaves a project without a test is none of its business.
    passWithNoTests: isStorm,
    reporters: [
      new ProgressReporter(),
      ...(ci
        ? [["json", { outputFile: `.tmp/${isStorm ? "storm" : "test"}-results.json` }] satisfies [string, unknown]]
        : [])
    ],
    projects: [
      {
        extends: true,
        test: {
          ...together,
          name: "unit",
          include: isQuick ? quick : filesOf("test/"),
          exclude: [...configDefaults.exclude, "test/package/**", "test/e2e/**"]
        }
      },
      ...(hasValkey
        ? [{
          extends: true as const,
          test: {
            ...together,
            name: "valkey",
            include: isStorm ? filesOf("test/broker/redis/Redis") : ["test/broker/redis/Redis*.test.ts"],
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
          include: filesOf("test/package/"),
          globalSetup: "test/package/packing.ts"
        }
      },
      {
        extends: true,
        test: {
          ...heavy,
          name: "e2e",
          include: filesOf("test/e2e/")
        }
      }
    ]
  }
})
