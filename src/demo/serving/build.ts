/**
 * Bundles the demo's pages for the browser.
 */
import { Effect, Schema } from "effect"
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises"
import { basename, extname, join } from "node:path"
import { fileURLToPath } from "node:url"

/** A file of the pages, as it is served. */
export interface PageFile {
  readonly name: string
  readonly type: string
  readonly body: Effect.Effect<Uint8Array, PageNotBuilt>
}

/** The pages cannot be built, most likely because the development dependencies are not installed. */
export class PageNotBuilt extends Schema.TaggedError<PageNotBuilt>()("PageNotBuilt", { cause: Schema.Defect() }) {
  override get message() {
    return `The page cannot be built. Is everything installed? Try: npm ci\n${String(this.cause)}`
  }
}

interface BuiltFile {
  readonly name: string
  readonly bytes: Uint8Array
}

const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".svg": "image/svg+xml",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8"
}

const typeOf = (name: string) => types[extname(name)] ?? "application/octet-stream"

const page = (name: string) => fileURLToPath(new URL(`../page/${name}`, import.meta.url))

const copied = ["index.html", "operator/operator.html", "icon.svg"]

const own = ["main.ts", "operator/operator.ts", "style.css"]

/** Pages of other libraries, whose code is many times that of the demo's own: what each is called, and what shows the runs. */
const others = [
  { name: "react", title: "React", by: "the hooks of effect-emitter/react" },
  { name: "chat", title: "useChat", by: "useChat of the AI SDK, by EmitterChatTransport" },
  { name: "ag-ui", title: "AG-UI", by: "a client of AG-UI, by EmitterAgent" }
]

const otherPages = async (): Promise<ReadonlyArray<BuiltFile>> => {
  const template = await readFile(page("others/page.html"), "utf8")
  return others.map(({ by, name, title }) => {
    const text = template.replace("{title}", title).replace("{name}", name).replace("{by}", by)
      .replace(`<a href="/${name}">`, `<a href="/${name}" aria-current="page">`)
    return { name: `${name}.html`, bytes: Buffer.from(text) }
  })
}

const sourcesOfOthers = others.map(({ name }) => `others/${name}.tsx`)

/** Rejects with esbuild's own report when the sources do not build. */
const bundle = async (sources: ReadonlyArray<string>): Promise<ReadonlyArray<BuiltFile>> => {
  // A process that is given pages as they were built needs none of it.
  const { build, stop } = await import("esbuild")
  const { outputFiles } = await build({
    entryPoints: sources.map(page),
    bundle: true,
    define: { "process.env.NODE_ENV": "\"production\"" },
    jsx: "automatic",
    write: false,
    minify: true,
    format: "esm",
    target: "es2022",
    outdir: "out",
    entryNames: "[name]",
    legalComments: "none",
    logLevel: "silent"
  })
  // The builder is a process of its own; it would stay as long as this one.
  await stop()
  return outputFiles.map(({ contents, path }) => ({ name: basename(path), bytes: contents }))
}

/** What these sources are built to, and all that is served as it is. */
const filesWith = async (sources: ReadonlyArray<string>): Promise<ReadonlyArray<BuiltFile>> => {
  const built = await bundle(sources)
  const read = async (source: string) => ({ name: basename(source), bytes: await readFile(page(source)) })
  return [...await Promise.all(copied.map(read)), ...await otherPages(), ...built]
}

const attempt = <A>(bundled: () => Promise<A>) =>
  Effect.tryPromise({ try: bundled, catch: (cause) => new PageNotBuilt({ cause }) })

const fileOf = ({ bytes, name }: BuiltFile): PageFile => ({ name, type: typeOf(name), body: Effect.succeed(bytes) })

/** The scripts of other libraries' pages: bundled when the first of them is asked for, as most who see the demo see none. */
const laterScripts: Effect.Effect<ReadonlyArray<PageFile>> = Effect.map(
  Effect.cached(Effect.uninterruptible(attempt(() => bundle(sourcesOfOthers)))),
  (later) =>
    others.map((other) => {
      const name = `${other.name}.js`
      const body = Effect.flatMap(later, (built) => {
        const file = built.find((one) => one.name === name)
        return file === undefined ? Effect.fail(new PageNotBuilt({ cause: name })) : Effect.succeed(file.bytes)
      })
      return { name, type: typeOf(name), body }
    })
)

const served = (read: () => Promise<ReadonlyArray<BuiltFile>>): Effect.Effect<ReadonlyArray<PageFile>, PageNotBuilt> =>
  Effect.zipWith(attempt(read), laterScripts, (files, scripts) => [...files.map(fileOf), ...scripts])

/** The pages, bundled. */
export const builtPage = served(() => filesWith(own))

/** The pages as `buildOwn` bundled them into a directory. */
export const readPage = (directory: string) =>
  served(async () =>
    Promise.all(
      (await readdir(directory)).map(async (name) => ({ name, bytes: await readFile(join(directory, name)) }))
    )
  )

const write = async (outdir: string, files: ReadonlyArray<BuiltFile>) => {
  await mkdir(outdir, { recursive: true })
  await Promise.all(files.map(({ bytes, name }) => writeFile(join(outdir, name), bytes)))
}

/** Bundles the pages into a directory, for several processes that serve them by `readPage`. */
export const buildOwn = (outdir: string): Effect.Effect<void, PageNotBuilt> =>
  attempt(async () => write(outdir, await filesWith(own)))

/** Bundles the pages into a directory, with the scripts of other libraries' pages. */
export const buildPage = async (outdir: string): Promise<void> =>
  write(outdir, await filesWith([...own, ...sourcesOfOthers]))
