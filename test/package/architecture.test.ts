/**
 * Holds what the sources import against the layout: protocol → broker → emitter, protocol → broker → hub → gateway,
 * protocol → client → react, where `A → B` means that B imports A.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { build, type ImportKind } from "esbuild"
import * as fs from "node:fs/promises"
import { builtinModules } from "node:module"
import * as path from "node:path"
import { compile, folderFor } from "../support/compile.ts"
import { manifest, root } from "./pack.ts"

/** Which parts of src a part may import, besides itself. */
const mayImport: Record<string, ReadonlyArray<string>> = {
  protocol: [],
  broker: ["protocol"],
  emitter: ["protocol", "broker"],
  hub: ["protocol", "broker"],
  gateway: ["protocol", "broker", "hub"],
  client: ["protocol"],
  react: ["protocol", "client"],
  http: ["protocol", "emitter", "gateway"],
  interop: ["protocol", "broker", "emitter", "gateway", "http", "client"],
  ai: ["protocol", "emitter"],
  testing: ["protocol", "broker", "emitter", "hub", "gateway", "client"],
  cli: ["protocol", "broker", "emitter", "gateway"],
  demo: ["protocol", "broker", "emitter", "hub", "gateway", "ai", "client", "react", "interop", "testing", "index.ts"],
  "events.ts": ["protocol"],
  "index.ts": ["protocol", "broker", "emitter", "hub"]
}

/** The rooms of a folder of src, from those that others stand on up to those that stand on them. */
const rooms: Record<string, ReadonlyArray<string>> = {
  protocol: ["values", "settings", "event", "command", "run", "wire"],
  broker: ["leases", "commands", "subscriptions", "memory", "redis", "postgres", "sqlite"],
  emitter: ["resilience", "user", "fallback", "observe", "delivery", "dispatch", "accept", "run"],
  hub: ["capacity", "outage", "connection", "registry"],
  gateway: ["admission", "authentication", "command", "compression", "session", "sse", "websocket", "operations"],
  client: ["transport", "session", "driver", "shared"],
  interop: ["server", "ag-ui", "ai-sdk", "tanstack-ai", "durable-streams"],
  cli: ["output", "spool", "backend", "doctor", "command"],
  "demo/page": ["view", "run", "connection", "operator", "others"]
}

interface Import {
  readonly from: string
  /** A file relative to the root, the name of a package, or a Node module with its `node:`. */
  readonly to: string
  readonly kind: "file" | "package" | "node"
  /** As the file says it. */
  readonly specifier: string
}

const partOf = (file: string) => file.split("/")[1] ?? file

const isIn = (folder: string, file: string) => file.startsWith(`src/${folder}/`)

/** The room of a folder, its part unless told, that a file stands in; none outside of rooms. */
const roomOf = (file: string, folder = partOf(file)) => {
  const [room = "", ...rest] = file.slice(`src/${folder}/`.length).split("/")
  return rest.length > 0 ? room : ""
}

const packageOf = (specifier: string) => specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/")

/**
 * Asks the compiler what it resolves for each file under src, so types, re-exports and dynamic imports count too. It finds an
 * empty file for every package: what the packages import is none of ours, and ten times as much.
 */
const readImports = async (): Promise<ReadonlyArray<Import>> => {
  const compilerOptions = { types: [], paths: { "*": ["./nothing.d.ts"] } }
  const folder = folderFor("imports", { compilerOptions, include: ["../../src"] })
  await fs.writeFile(path.join(folder, "nothing.d.ts"), "export {}\n")
  const trace = compile(["--project", folder, "--traceResolution", "--noCheck"])
  assert.isNull(/^.*\berror TS.*$/mu.exec(trace))
  return Array.from(
    trace.matchAll(/^=+ Resolving module '(.+)' from '(.+)'\. =+$/gm),
    ([, specifier = "", file = ""]) => {
      const from = path.relative(root, file).split(path.sep).join("/")
      if (specifier.startsWith(".")) {
        return { from, to: path.posix.join(path.posix.dirname(from), specifier), kind: "file" as const, specifier }
      }
      if (specifier.startsWith("node:") || builtinModules.includes(packageOf(specifier))) {
        return { from, to: specifier, kind: "node" as const, specifier }
      }
      return { from, to: packageOf(specifier), kind: "package" as const, specifier }
    }
  ).filter(({ from }) => from.startsWith("src/"))
}

/**
 * Which file loads which when it runs: `import type` is erased. Types may point back within a part, as an
 * implementation's do to its interface; between parts they flow one way like everything else.
 */
const runtimeImports = async (): Promise<
  ReadonlyMap<string, ReadonlyArray<{ readonly path: string; readonly kind: ImportKind }>>
> => {
  const { metafile } = await build({
    absWorkingDir: root,
    bundle: true,
    entryPoints: ["src/**/*.ts"],
    format: "esm",
    logLevel: "silent",
    metafile: true,
    outdir: "dist",
    packages: "external",
    platform: "node",
    treeShaking: false,
    write: false
  })
  return new Map(Object.entries(metafile.inputs).map(([file, { imports }]) => [file, imports]))
}

/** The circles that one comes upon by following edges, each told from where it begins. */
const cyclesOf = (edges: ReadonlyArray<readonly [from: string, to: string]>): ReadonlyArray<string> => {
  const graph = Map.groupBy(edges, ([from]) => from)
  const done = new Set<string>()
  const cycles: Array<string> = []
  const visit = (node: string, trail: ReadonlyArray<string>) => {
    const start = trail.indexOf(node)
    if (start >= 0) {
      cycles.push([...trail.slice(start), node].join(" → "))
    } else if (!done.has(node)) {
      for (const [, next] of graph.get(node) ?? []) visit(next, [...trail, node])
      done.add(node)
    }
  }
  for (const node of graph.keys()) visit(node, [])
  return cycles
}

/** The shortest way to say what is wrong with an import. */
const show = ({ from, to }: Import) => `${from} imports ${to}`

describe("what the sources import", () => {
  let imports: ReadonlyArray<Import>
  let graph: Awaited<ReturnType<typeof runtimeImports>>
  beforeAll(async () => {
    imports = await readImports()
  })
  beforeAll(async () => {
    graph = await runtimeImports()
  })

  it("is read for every source file that imports anything", async () => {
    const withImports: Array<string> = []
    for (const name of await fs.readdir(path.join(root, "src"), { recursive: true })) {
      if (!name.endsWith(".ts")) continue
      const text = await fs.readFile(path.join(root, "src", name), "utf8")
      if (/^(import|export \*|export \{[^}]*\} from)/m.test(text)) withImports.push(path.posix.join("src", name))
    }
    assert.isNotEmpty(withImports)
    assert.includeMembers(imports.map(({ from }) => from), withImports)
  })

  it("flows one way between the parts, and every part has its place in the layout", () => {
    const files = imports.filter(({ kind }) => kind === "file")
    assert.deepStrictEqual(
      [...new Set(imports.map(({ from }) => partOf(from)))].filter((part) => mayImport[part] === undefined),
      []
    )
    const wrong = files.filter(({ from, to }) =>
      partOf(from) !== partOf(to) && !(mayImport[partOf(from)] ?? []).includes(partOf(to))
    )
    assert.deepStrictEqual(wrong.map(show), [])
  })

  it("holds no cycle between files, not even of types", () => {
    const files = imports.filter(({ kind }) => kind === "file")
    assert.isNotEmpty(files)
    assert.deepStrictEqual(cyclesOf(files.map(({ from, to }) => [from, to])), [])
  })

  it("flows one way from room to room, and every room has its place", () => {
    const files = imports.filter(({ kind }) => kind === "file")
    for (const [folder, order] of Object.entries(rooms)) {
      const between = files
        .filter(({ from, to }) => isIn(folder, from) && isIn(folder, to))
        .map((_) => ({
          ..._,
          above: order.indexOf(roomOf(_.from, folder)),
          below: order.indexOf(roomOf(_.to, folder))
        }))
      const inRooms = between.filter(({ from }) => roomOf(from, folder) !== "")
      assert.isNotEmpty(inRooms, folder)
      assert.deepStrictEqual(inRooms.filter(({ above }) => above < 0).map(show), [], folder)
      // What stands outside the rooms of a folder composes them, or is what all of them build on.
      assert.deepStrictEqual(
        inRooms.filter(({ above, below, to }) => roomOf(to, folder) !== "" && below > above).map(show),
        [],
        folder
      )
    }
    const parted = new Set(
      imports.map(({ from }) => from).filter((from) => roomOf(from) !== "" && partOf(from) !== "demo").map(partOf)
    )
    assert.deepStrictEqual([...parted].toSorted(), Object.keys(rooms).filter((_) => !_.startsWith("demo/")).toSorted())
  })

  it("stays inside src, and names no entry of the package itself", () => {
    const outside = imports.filter(({ kind, to }) =>
      kind === "file" ? !to.startsWith("src/") && to !== "package.json" : to === manifest.name
    )
    assert.deepStrictEqual(outside.map(show), [])
  })

  it("holds no cycle between files when it runs", () => {
    assert.isAtLeast(graph.size, new Set(imports.map(({ from }) => from)).size)
    const edges = Array.from(graph).flatMap(([from, to]) => to.map(({ path }) => [from, path] as const))
    assert.deepStrictEqual(cyclesOf(edges), [])
  })

  it("is only effect for what also runs in browsers, and only React for its hooks: no Node module, nothing else", () => {
    const mayUse: Record<string, string> = {
      client: "effect",
      "events.ts": "effect",
      protocol: "effect",
      react: "react"
    }
    const foreign = imports.filter(({ from, kind, to }) => {
      const only = mayUse[partOf(from)]
      return only !== undefined && kind !== "file" && to !== only
    })
    assert.deepStrictEqual(foreign.map(show), [])
  })

  it("is React for its hooks alone, and for the demo's pages that use them", () => {
    const foreign = imports.filter(({ from, to }) => to === "react" && !["react", "demo"].includes(partOf(from)))
    assert.deepStrictEqual(foreign.map(show), [])
  })

  it("comes from declared dependencies and peers everywhere but in the demo, and uses every dependency", () => {
    const declared = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
    const packages = imports.filter(({ from, kind }) => kind === "package" && partOf(from) !== "demo")
    assert.deepStrictEqual(packages.filter(({ to }) => !declared.includes(to)).map(show), [])

    const used = packages.map(({ to }) => to)
    assert.deepStrictEqual(Object.keys(manifest.dependencies).filter((name) => !used.includes(name)), [])
  })

  it("takes time and chance from Effect's services, but where a plain client meets its platform", async () => {
    const wild =
      /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bperformance\.now\b|\bset(Timeout|Interval|Immediate)\(/
    const found: Array<string> = []
    for (const name of await fs.readdir(path.join(root, "src"), { recursive: true })) {
      if (!name.endsWith(".ts") || name.startsWith("demo")) continue
      if (wild.test(await fs.readFile(path.join(root, "src", name), "utf8"))) found.push(name)
    }
    assert.deepStrictEqual(found, [path.join("client", "transport", "Platform.ts")])
  })

  it("loads modules of @effect/platform-node: all of it would be a client of Redis as well", () => {
    const whole = imports.filter(({ specifier }) => specifier === "@effect/platform-node")
    assert.deepStrictEqual(whole.map(show), [])
  })

  describe("and loads before it knows what it is told", () => {
    /** What these load when they start, with all that that loads: the files, and the packages. */
    const loadedBy = (...entries: ReadonlyArray<string>) => {
      const loaded = new Set(entries)
      for (const file of loaded) {
        for (const { kind, path } of graph.get(file) ?? []) if (kind === "import-statement") loaded.add(path)
      }
      const others = [...loaded].filter((name) => !graph.has(name) && !name.startsWith("node:")).map(packageOf)
      return { files: [...loaded].filter((name) => graph.has(name)), packages: [...new Set(others)].toSorted() }
    }

    it("is effect and what the demo's programs say themselves", () => {
      const { files, packages } = loadedBy("src/demo/main.ts", "src/demo/cluster/main.ts", "src/demo/cluster/node.ts")
      assert.includeMembers(files, ["src/demo/process/program.ts", "src/demo/settings/Options.ts"])
      assert.deepStrictEqual(files.filter((file) => partOf(file) !== "demo"), [])
      assert.deepStrictEqual(packages, ["@effect/platform-node", "effect"])
    })

    it("is no emitter, gateway or broker in the command line", () => {
      const engine = /^src\/(emitter\/EmitterLayer|gateway\/Gateway|broker\/\w+\/\w+Broker)\.ts$/u
      assert.isAtLeast([...graph.keys()].filter((file) => engine.test(file)).length, 6)
      const { files, packages } = loadedBy("src/cli/main.ts")
      assert.includeMembers(files, ["src/cli/command/Publish.ts", "src/cli/command/Doctor.ts"])
      assert.deepStrictEqual(files.filter((file) => engine.test(file)), [])
      assert.deepStrictEqual(packages, ["@effect/platform-node", "effect", "jose"])
    })
  })

  it("says node: wherever it means a Node module", () => {
    const bare = imports.filter(({ kind, to }) => kind === "node" && !to.startsWith("node:"))
    assert.deepStrictEqual(bare.map(show), [])
  })
})
