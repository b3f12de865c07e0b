/**
 * Builds the reference of every entry of the package, by TypeDoc, from the doc comments.
 *
 * It ends with 1 on any warning: what a public signature names is exported, and every link leads somewhere. That every
 * public name has a doc comment, and each public constructor an example, is held by `test/docs`.
 *
 * TypeDoc reads types by TypeScript 6, so both are installed into this folder when they are first needed, and not beside the
 * compiler that builds the package. That the sources have no errors is for that one to say: `npm run check`.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, rmSync } from "node:fs"
import { join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { readOptions } from "../../test/support/options.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

const values = readOptions("docs", {
  outdir: { type: "string", default: join(root, ".tmp/reference") },
  help: { type: "boolean", default: false }
})
if (values.help) {
  process.stdout.write(`Builds the reference from the doc comments, as pages to open in a browser.

  npm run docs -- [--outdir .tmp/reference]

  --outdir  where to, .tmp/reference by default; what is there is removed first
  --help    this text

It ends with 0 when it is built, and with 1 on a warning: a type that is not exported, a broken link.
`)
  process.exit()
}
const outdir = resolve(values.outdir)
if (root.startsWith(join(outdir, "/"))) throw new Error(`refusing to empty ${outdir}: it holds the sources`)

const here = fileURLToPath(new URL(".", import.meta.url))
if (!existsSync(join(here, "node_modules/typedoc"))) {
  const options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
  const { error, status } = spawnSync("npm", options, { cwd: here, stdio: ["ignore", "ignore", "inherit"] })
  if (error !== undefined) throw error
  if (status !== 0) process.exit(1)
}
const { Application } = await import("typedoc")

const { exports, name }: {
  readonly name: string
  readonly exports: Record<string, string | { readonly default: string }>
} = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))

/** The source of each entry, and what programs import it by. */
const entries = Object.entries(exports).flatMap(([subpath, target]) =>
  typeof target === "string" ? [] : [{
    specifier: name + subpath.slice(1),
    source: target.default.replace("./dist/", "src/").replace(/\.js$/u, ".ts")
  }]
)

const app = await Application.bootstrap({
  name,
  entryPoints: entries.map(({ source }) => join(root, source)),
  tsconfig: join(root, "tsconfig.json"),
  skipErrorChecking: true,
  readme: "none",
  disableSources: true,
  excludeExternals: true,
  excludePrivate: true,
  highlightLanguages: ["ts", "tsx", "js", "json", "sh", "sql"],
  validation: { notExported: true, invalidLink: true, notDocumented: false, invalidPath: true },
  // What types are computed by, and what the compiler shows computed: no program writes these names.
  intentionallyNotExported: [
    "Given",
    "Overrides",
    "src/interop/RunItem.ts:Known",
    "TextField",
    "NeedsNoServices"
  ]
})

const project = await app.convert()
if (project === undefined) process.exit(1)

// TypeDoc names an entry by its file.
for (const module of project.children ?? []) {
  const found = entries.find(({ source }) => source.replace(/^src\/|(?<=.)\/index\.ts$|\.ts$/gu, "") === module.name)
  if (found !== undefined) module.name = found.specifier
}

app.validate(project)
if (app.logger.hasErrors() || app.logger.hasWarnings()) process.exit(1)
rmSync(outdir, { recursive: true, force: true })
await app.generateDocs(project, outdir)
if (app.logger.hasErrors() || app.logger.hasWarnings()) process.exit(1)
process.stdout.write(`${relative(root, join(outdir, "index.html"))}\n`)
