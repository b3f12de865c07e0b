/**
 * Bundles the demo's page for the browser.
 */
import { Effect, Schema } from "effect"
import { build, stop } from "esbuild"
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises"
import { basename, extname, join } from "node:path"
import { fileURLToPath } from "node:url"

/** A file of the page, as it is served. */
export interface PageFile {
  readonly name: string
  readonly type: string
  readonly body: Uint8Array
}

const page = (name: string) => fileURLToPath(new URL(`./page/${name}`, import.meta.url))

const copied = [
  { source: "index.html", type: "text/html; charset=utf-8" },
  { source: "operator/operator.html", type: "text/html; charset=utf-8" },
  { source: "icon.svg", type: "image/svg+xml" }
]

/** Bundles the page in memory. Rejects with esbuild's own report when the sources do not build. */
export const bundlePage = async (): Promise<ReadonlyArray<PageFile>> => {
  const result = await build({
    entryPoints: [page("main.ts"), page("operator/operator.ts"), page("style.css")],
    bundle: true,
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
  const built = result.outputFiles.map(({ contents, path }) =>
    path.endsWith(".css")
      ? { name: "style.css", type: "text/css; charset=utf-8", body: contents }
      : { name: basename(path), type: "text/javascript; charset=utf-8", body: contents }
  )
  const files = await Promise.all(
    copied.map(async ({ source, type }) => ({ name: basename(source), type, body: await readFile(page(source)) }))
  )
  return [...files, ...built]
}

/** The page cannot be built, most likely because the development dependencies are not installed. */
export class PageNotBuilt extends Schema.TaggedError<PageNotBuilt>()("PageNotBuilt", { cause: Schema.Defect() }) {
  override get message() {
    return `The page cannot be built. Is everything installed? Try: npm ci\n${String(this.cause)}`
  }
}

/** The page, bundled. */
export const builtPage: Effect.Effect<ReadonlyArray<PageFile>, PageNotBuilt> = Effect.tryPromise({
  try: bundlePage,
  catch: (cause) => new PageNotBuilt({ cause })
})

/** Bundles the page into a directory, which is made if need be. */
export const buildPage = async (outdir: string): Promise<void> => {
  const files = await bundlePage()
  await mkdir(outdir, { recursive: true })
  await Promise.all(files.map(({ body, name }) => writeFile(join(outdir, name), body)))
}

const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".svg": "image/svg+xml",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8"
}

/** The page as it was bundled into a directory. */
export const readPage = (directory: string): Effect.Effect<ReadonlyArray<PageFile>, PageNotBuilt> =>
  Effect.tryPromise({
    try: async () =>
      Promise.all(
        (await readdir(directory)).map(async (name) => ({
          name,
          type: types[extname(name)] ?? "application/octet-stream",
          body: await readFile(join(directory, name))
        }))
      ),
    catch: (cause) => new PageNotBuilt({ cause })
  })
