/**
 * Looks at the version of Node.
 *
 * @since 0.2.0
 */
import { fault, type Finding, ok } from "../output/Finding.ts"

/** What `engines` of package.json asks for. */
const least = [22, 19] as const

/**
 * Whether a version of Node, such as `22.19.0`, is new enough.
 *
 * @category operations
 * @since 0.2.0
 */
export const check = (version: string): Finding => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  return major > least[0] || (major === least[0] && minor >= least[1])
    ? ok("node", `Node ${version}`)
    : fault("node", `Node ${version} is too old`, `install Node ${least.join(".")} or later`)
}
