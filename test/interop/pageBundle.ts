/** What a page loads of an entry: its files, and their size. */
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"

/** The entry for a browser, without the packages that the page has anyway: the names of its files, and its bytes gzipped. */
export const pageBundle = async (entry: string, external: ReadonlyArray<string> = []) => {
  const { metafile, outputFiles } = await build({
    absWorkingDir: fileURLToPath(new URL("../..", import.meta.url)),
    bundle: true,
    entryPoints: [entry],
    external: [...external],
    format: "esm",
    logLevel: "silent",
    metafile: true,
    minify: true,
    platform: "browser",
    write: false
  })
  return {
    files: Object.keys(metafile.inputs),
    bytes: outputFiles.reduce((sum, { contents }) => sum + gzipSync(contents).length, 0)
  }
}
