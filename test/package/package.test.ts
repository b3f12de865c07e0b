import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { build } from "esbuild"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { publint } from "publint"
import { build as vite, createLogger } from "vite"
import { compile } from "../support/compile.ts"
import { install, type Installed } from "./install.ts"
import { entries, manifest, root, run } from "./pack.ts"

/** What `attw --format json` says, as far as it is read here. */
interface TypesReport {
  readonly analysis: {
    readonly problems: ReadonlyArray<{ readonly kind: string; readonly resolutionKind?: string }>
    readonly entrypoints: Record<string, { readonly resolutions: Record<string, { readonly resolution?: object }> }>
  }
}

describe("the package as npm would publish it", () => {
  let packed: Installed
  beforeAll(async () => {
    packed = await install()
  }, 300_000)
  afterAll(() => packed?.remove())

  it("holds every file that its exports name, its documents and its sources, and nothing of the demo or the tests", () => {
    for (const entry of entries) {
      assert.include(packed.files, path.normalize(entry.default))
      assert.include(packed.files, path.normalize(entry.types))
    }
    assert.includeMembers([...packed.files], ["package.json", "README.md", "LICENSE", "CHANGELOG.md", "src/index.ts"])

    const strangers = packed.files.filter((file) =>
      /^(dist|src)\/demo\b/.test(file) ||
      !/^(dist\/.+\.(js|d\.ts|js\.map|d\.ts\.map)|src\/.+\.ts|src\/([a-z-]+\/)*README\.md|src\/gateway\/operations\/(dashboard\.json|alerts\.yml|runbook\.md)|package\.json|README\.md|LICENSE|CHANGELOG\.md)$/
        .test(
          file
        )
    )
    assert.deepStrictEqual(strangers, [])
  })

  it("is accepted by publint, without so much as a suggestion", async () => {
    const tarball = await fs.readFile(packed.tarball)
    const { messages } = await publint({ pack: { tarball: new Uint8Array(tarball).buffer }, strict: true })
    assert.deepStrictEqual(messages, [])
  })

  it("has types that every ESM resolution finds, says arethetypeswrong", async () => {
    // It goes through all files for every folder that it looks for: those that it never reads are left out.
    const tarball = path.join(packed.app, "types.tgz")
    const excluded = ["--exclude=*.map", `--exclude=${manifest.name}/src`]
    await run("tar", ["--create", "--gzip", `--file=${tarball}`, ...excluded, manifest.name], packed.modules)
    const options = ["--profile", "esm-only", "--no-definitely-typed", "--format", "json"]
    const { analysis }: TypesReport = JSON.parse(await run("attw", [tarball, ...options], packed.app))

    const ofEsm = ({ resolutionKind }: TypesReport["analysis"]["problems"][number]) =>
      resolutionKind !== "node10" && resolutionKind !== "node16-cjs"
    assert.deepStrictEqual(analysis.problems.filter(ofEsm), [])
    for (const subpath of Object.keys(manifest.exports)) {
      const resolutions = analysis.entrypoints[subpath]?.resolutions
      assert.isDefined(resolutions?.["node16-esm"]?.resolution, `${subpath} in Node`)
      assert.isDefined(resolutions?.["bundler"]?.resolution, `${subpath} in a bundler`)
    }
  })

  it("imports in Node with nothing but its declared dependencies beside it", async () => {
    const program = `
      const entries = ${JSON.stringify(entries.map(({ specifier }) => specifier))}
      const names = {}
      for (const entry of entries) names[entry] = Object.keys(await import(entry))
      console.log(JSON.stringify(names))
    `
    const output = await run("node", ["--input-type=module", "--eval", program], packed.app)
    const names: Record<string, ReadonlyArray<string>> = JSON.parse(output)
    assert.deepStrictEqual(Object.keys(names), entries.map(({ specifier }) => specifier))
    for (const [specifier, exported] of Object.entries(names)) {
      assert.isNotEmpty(exported, `${specifier} exports nothing`)
    }
  })

  it("has a command line, which npx starts, with the version of the package", async () => {
    const installed = path.join(packed.app, "node_modules", manifest.name)
    const main = path.join(installed, manifest.bin[manifest.name] ?? "")
    assert.match(await fs.readFile(main, "utf8"), /^#!\/usr\/bin\/env node\n/u)
    assert.strictEqual(await run("node", [main, "--version"], packed.app), `${manifest.name} v${manifest.version}\n`)
    assert.match(await run("node", [main, "doctor"], packed.app), /^ok +node/mu)
  })

  it("keeps logs in a file, by the thread that it starts from its own files", async () => {
    const program = `
      import { Effect, Layer, Scope } from "effect"
      import { Broker, Identity } from "${manifest.name}"
      import { SqliteBroker } from "${manifest.name}/sqlite"
      const user = Identity.UserId.make("u")
      const body = '"id":"s.1","type":"custom","at":1,"data":{}}'
      const event = { id: "s.1", source: "s.", sequence: 1, type: "custom", delivery: "critical", at: 1, confirm: false, body, bytes: body.length }
      const life = (use) => Effect.runPromise(
        Effect.flatMap(Broker.Broker, use).pipe(Effect.provide(Layer.fresh(SqliteBroker.layer({ file: "events.db" }))))
      )
      const before = await life((broker) => broker.append(user, [event]))
      const after = await life((broker) => broker.pull(user, { ...before, offset: 0 }, { maxEvents: 10, maxBytes: 1000 }))
      console.log(JSON.stringify([before.offset, after.gap ?? null, after.entries.map((entry) => entry.body)]))
    `
    const output = await run("node", ["--input-type=module", "--eval", program], packed.app)
    assert.deepStrictEqual(JSON.parse(output), [1, null, ["\"id\":\"s.1\",\"type\":\"custom\",\"at\":1,\"data\":{}}"]])
  })

  // The sources do so with `exactOptionalPropertyTypes`.
  it("fault 32: type-checks in a program that imports every entry, and in one that leaves each optional field undefined, without exactOptionalPropertyTypes", async () => {
    const lines = entries.map(({ specifier }, i) => `export * as entry${i} from ${JSON.stringify(specifier)}`)
    await fs.writeFile(path.join(packed.app, "main.ts"), `${lines.join("\n")}\n`)
    await fs.copyFile(path.join(root, "test/protocol/values/undefinedFields.ts"), path.join(packed.app, "undefined.ts"))
    const options = ["--noEmit", "--strict", "--skipLibCheck", "false", "--module", "nodenext", "--target", "es2024"]
    const lib = ["--lib", "es2024,dom,esnext.disposable"]
    assert.strictEqual(compile([...options, ...lib, "main.ts", "undefined.ts"], packed.app), "")
  })

  it("lets one catalog file serve server and page: esbuild and Vite bundle it without a warning, and it runs", async () => {
    const write = (name: string, ...lines: ReadonlyArray<string>) =>
      fs.writeFile(path.join(packed.app, name), `${lines.join("\n")}\n`)
    await write(
      "catalog.ts",
      `import { Schema } from "effect"`,
      `import { AgentEvents, Event } from "${manifest.name}/events"`,
      `export const OrderPlaced = Event.make("order_placed", { payload: { total: Schema.Finite } })`,
      `export const catalog = Event.catalog(OrderPlaced, AgentEvents.TextDelta)`
    )
    const shown =
      `console.log([...catalog.definitions.keys()].join(), JSON.stringify(OrderPlaced.make({ total: 12.5 }).payload))`
    await write("page.ts", `import { catalog, OrderPlaced } from "./catalog.ts"`, shown)
    await write(
      "server.ts",
      `import { Event } from "${manifest.name}"`,
      `import { catalog, OrderPlaced } from "./catalog.ts"`,
      `if (Event.critical(OrderPlaced.make({ total: 1 })).definition !== OrderPlaced) throw new Error("two catalogs")`,
      shown
    )
    const expected = `order_placed,text_delta {"total":12.5}\n`
    assert.strictEqual(await run("node", ["server.ts"], packed.app), expected)

    const { metafile, outputFiles, warnings } = await build({
      absWorkingDir: packed.app,
      entryPoints: ["page.ts"],
      bundle: true,
      format: "esm",
      logLevel: "silent",
      metafile: true,
      platform: "browser",
      write: false
    })
    const external = Object.values(metafile.inputs).flatMap((input) => input.imports).filter((_) => _.external === true)
    assert.deepStrictEqual<unknown>([warnings, external], [[], []])
    await write("esbuild.js", outputFiles[0]?.text ?? "")
    assert.strictEqual(await run("node", ["esbuild.js"], packed.app), expected)

    const said: Array<string> = []
    const note = (text: string) => void said.push(text)
    await vite({
      root: packed.app,
      configFile: false,
      build: { outDir: "vite", rolldownOptions: { input: "page.ts", output: { entryFileNames: "page.js" } } },
      customLogger: {
        ...createLogger("silent"),
        warn: note,
        warnOnce: note,
        error: note
      }
    })
    assert.deepStrictEqual(said, [])
    assert.strictEqual(await run("node", ["vite/page.js"], packed.app), expected)
  })

  it("declares catalogs by the names of their unions, so that hovers and declarations stay short", async () => {
    const program = `
      import { Schema } from "effect"
      import { AgentEvents, Event } from "effect-emitter"
      export const Mine = Event.make("order_placed", { payload: { orderId: Schema.String } })
      export const catalog = AgentEvents.catalog.add(Mine)
    `
    await fs.writeFile(path.join(packed.app, "declared.ts"), program)
    const options = ["--declaration", "--emitDeclarationOnly", "--outDir", "types", "--rootDir", "."]
    const target = ["--strict", "--module", "nodenext", "--target", "es2024", "--skipLibCheck"]
    assert.strictEqual(compile([...options, ...target, "declared.ts"], packed.app), "")
    const declared = await fs.readFile(path.join(packed.app, "types", "declared.d.ts"), "utf8")
    assert.include(declared, "| AgentEvents.BuiltIn>;")
    assert.isBelow(declared.length, 600)
    const own = path.join(packed.app, "node_modules", manifest.name, "dist/protocol/event/AgentEvents.d.ts")
    assert.include(await fs.readFile(own, "utf8"), "export declare const catalog: Event.Catalog<BuiltIn>;")
  })

  it("bundles its client for browsers: no Node module is reachable, nor any package but effect", async () => {
    const { errors, metafile, warnings } = await build({
      stdin: { contents: `export * from "${manifest.name}/client"`, resolveDir: packed.app },
      bundle: true,
      format: "esm",
      logLevel: "silent",
      metafile: true,
      minify: true,
      platform: "browser",
      write: false
    })
    assert.deepStrictEqual(errors, [])
    assert.deepStrictEqual(warnings, [])

    const imports = Object.values(metafile.inputs).flatMap((input) => input.imports)
    assert.deepStrictEqual(imports.filter((_) => _.external === true).map((_) => _.path), [])

    const packages = new Set(
      Object.keys(metafile.inputs)
        .filter((file) => file !== "<stdin>")
        .map((file) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1])
    )
    assert.include([...packages], manifest.name)
    const expected = [manifest.name, "effect"]
    assert.deepStrictEqual([...packages].filter((name) => name === undefined || !expected.includes(name)), [])
  })
})
