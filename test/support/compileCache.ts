import { tmpdir } from "node:os"
import { join } from "node:path"

/** Where what Node compiled of the sources is kept: processes that tests start load the same ones again and again. */
export const compileCache = join(tmpdir(), "effect-emitter-compile-cache")
