/**
 * The order in which files start: those that take longest first, so that none is still at work when all others are done.
 *
 * They are named here, since a fresh clone knows of no run before; the others follow, those that took longest or are
 * largest first. Files with processes of their own are in one order, whatever their project, so that those which work run
 * beside those which wait.
 */
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** Files that take longest, the longest first; those that share processes, then those with processes of their own. */
export const long: ReadonlyArray<string> = [
  "broker/redis/RedisCommands",
  "broker/leases/RunLeases",
  "broker/redis/RedisBroker",
  "emitter/Attach",
  "gateway/Outage",
  "broker/postgres/PostgresBroker",
  "gateway/ConnectionLimit",
  "interop/durable-streams/conformance",
  "e2e/start-cluster",
  "e2e/demo",
  "package/readme",
  "e2e/demo-accessible",
  "e2e/shared",
  "package/package",
  "e2e/background",
  "e2e/react",
  "e2e/cluster",
  "e2e/demo-ways",
  "package/programs",
  "e2e/single",
  "e2e/nginx",
  "e2e/restored"
]

export class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = long.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`))
      return at < 0 ? long.length : at
    }
    const groupOf = ({ project }: TestSpecification) => project.config.sequence.groupOrder
    // oxlint-disable-next-line unicorn/no-array-sort -- a method of a sequencer
    const usual = await super.sort(files)
    return usual.toSorted((a, b) => groupOf(a) - groupOf(b) || rank(a) - rank(b))
  }
}
