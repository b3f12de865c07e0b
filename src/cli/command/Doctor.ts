/**
 * `effect-emitter doctor`: what is wrong, and what to do about it.
 *
 * @since 0.2.0
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Backends from "../backend/Backends.ts"
import * as CompressionCheck from "../doctor/CompressionCheck.ts"
import * as KeySetCheck from "../doctor/KeySetCheck.ts"
import * as NodeCheck from "../doctor/NodeCheck.ts"
import * as SettingsCheck from "../doctor/SettingsCheck.ts"
import * as SpoolCheck from "../doctor/SpoolCheck.ts"
import { Failed } from "../output/Failed.ts"
import { fault, type Finding, type Severity } from "../output/Finding.ts"
import { type Colour, type Out, plain } from "../output/Out.ts"
import { out, root, spool, told } from "./Shared.ts"

const colours: Record<Severity, Colour> = { ok: "green", note: "blue", warning: "yellow", fault: "red" }

const linesOf = ({ paint }: Out, { check, message, remedy, severity }: Finding): ReadonlyArray<string> => [
  `${paint(colours[severity], severity.padEnd(7))}  ${check.padEnd(17)}  ${plain(message)}`,
  ...(remedy === undefined ? [] : [`${" ".repeat(28)}→ ${plain(remedy)}`])
]

const brokers: Effect.Effect<ReadonlyArray<Finding>> = Effect.gen(function*() {
  const entries = yield* Backends.configured
  const found = yield* Effect.forEach(entries, (entry) =>
    Backends.load(entry).pipe(
      Effect.flatMap(({ checks }) => checks),
      Effect.catch(({ message, remedy = "" }) => Effect.succeed([fault("broker", message, remedy)]))
    ), { concurrency: "unbounded" })
  return found.flat()
})

/**
 * The command.
 *
 * @category constructors
 * @since 0.2.0
 */
export const doctor = Command.make(
  "doctor",
  {
    spool: spool("no spool is looked at"),
    strict: Flag.Boolean("strict").pipe(
      told("End with 1 for a warning as well", "for a fault alone"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function*({ spool: spoolFile, strict }) {
    const { json } = yield* root
    const to = yield* out
    const all: Array<Finding> = []
    const tell = (findings: ReadonlyArray<Finding>) => {
      all.push(...findings)
      return to.line(...findings.flatMap((finding) => linesOf(to, finding)))
    }
    const checks: ReadonlyArray<Effect.Effect<ReadonlyArray<Finding>>> = [
      Effect.sync(() => [NodeCheck.check(process.versions.node)]),
      SettingsCheck.check,
      CompressionCheck.check,
      brokers,
      KeySetCheck.check,
      ...Option.match(spoolFile, { onNone: () => [], onSome: (file) => [SpoolCheck.checkFile(file)] })
    ]
    yield* Effect.forEach(checks, (check) => Effect.flatMap(check, tell), { discard: true }).pipe(
      Effect.onInterrupt(() =>
        json ? to.value({ complete: false, findings: all }) : to.aside(`interrupted: ${all.length} findings until then`)
      )
    )
    const count = (severity: Severity) => all.filter((finding) => finding.severity === severity).length
    const [faults, warnings] = [count("fault"), count("warning")]
    const isGood = faults === 0 && (!strict || warnings === 0)
    yield* to.value({ complete: true, ok: isGood, faults, warnings, findings: all })
    yield* to.line("", `${faults} faults, ${warnings} warnings`)
    if (!isGood) return yield* new Failed({ exit: "no", message: "" })
  })
).pipe(
  Command.withDescription(
    "Looks at Node, the settings in the environment, the broker (Redis: rights, version, latency, memory, " +
      "persistence, clock; Postgres: schema, rights, version, settings, connections, LISTEN, tables, clock, latency; " +
      "SQLite: the file, its disk, rights, layout and damage), the key set of tokens, and a spool file. " +
      "Says of each what is wrong and what to do. " +
      "It sends no event, and prints no secret."
  ),
  Command.withExamples([
    { command: "effect-emitter doctor", description: "Look at everything that the environment names" },
    { command: "effect-emitter doctor --spool /var/lib/app/spool.db --json", description: "A spool too, for a program" }
  ])
)
