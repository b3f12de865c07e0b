/**
 * Answers the questions of this folder one after the other, each in a process of its own, and ends with one table.
 *
 * `npm run bench -- --help` tells the options.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { readOptions, refuse } from "../test/support/options.ts"
import { findProgram } from "../test/support/program.ts"
import { changesSince } from "./harness/changes.ts"
import { type Figures, readFigures } from "./harness/figures.ts"
import { answerInProcess, type Outcome } from "./harness/isolate.ts"
import { describeMachine } from "./harness/machine.ts"
import { Progress } from "./harness/progress.ts"
import { renderChanges, renderMarkdown, renderReport, toJson } from "./harness/report.ts"
import { renderModel } from "./model.ts"
import { needPostgres, needRedis, questions } from "./questions.ts"

const help = `npm run bench -- [options]

  --only <name>     answer this question only; may be given several times
  --quick           fewer rounds and smaller numbers: a first impression, not a result
  --json <file>     also write every measurement to a file
  --compare <file>  also tell what became better or worse since the run that wrote this file with --json
  --markdown        also print the table as Markdown, in the form of the README's
  --model <file>    measure nothing, but tell from such a file of a full run what a million users would need
  --help            this text

Questions: ${[...questions.keys()].join(", ")}
`

const options = readOptions("bench", {
  only: { type: "string", multiple: true, default: [] },
  quick: { type: "boolean", default: false },
  json: { type: "string" },
  compare: { type: "string" },
  markdown: { type: "boolean", default: false },
  model: { type: "string" },
  help: { type: "boolean", default: false }
})
if (options.help) {
  process.stdout.write(help)
  process.exit(0)
}
if (options.model !== undefined) {
  process.stdout.write(renderModel(readFileSync(options.model, "utf8")))
  process.exit(0)
}
const readEarlier = (file: string): Figures => {
  try {
    const figures = readFigures(readFileSync(file, "utf8"))
    if (figures.quick === options.quick) return figures
  } catch (error) {
    refuse("bench", `${file} is no file that --json wrote: ${String(error).replaceAll(/\s+/gu, " ")}`)
  }
  return refuse("bench", `${file} is of a ${options.quick ? "full" : "quick"} run, and this is none`)
}
const unknown = options.only.filter((name) => !questions.has(name))
if (unknown.length > 0) {
  refuse(
    "bench",
    `there is no question ${unknown.map((name) => JSON.stringify(name)).join(", ")}`
  )
}

// Read before minutes are spent, so that a wrong file is told of at once.
const earlier = options.compare === undefined ? undefined : readEarlier(options.compare)

const asked = [...questions.keys()].filter((name) => options.only.length === 0 || options.only.includes(name))
// Looking for one says loudly if it is not there.
const found = (program: Parameters<typeof findProgram>[0], those: ReadonlySet<string>): boolean =>
  asked.some((name) => those.has(name)) && findProgram(program) !== undefined
const hasRedis = found("redis-server", needRedis)
const hasPostgres = found("postgres", needPostgres)
const wanted = asked.filter((name) => (hasRedis || !needRedis.has(name)) && (hasPostgres || !needPostgres.has(name)))
const machine = describeMachine()
const progress = new Progress(wanted.length)
const outcomes: Array<Outcome> = []
for (const name of wanted) {
  progress.begin(name)
  const outcome = await answerInProcess(name, options.quick, (text) => progress.update(text))
  progress.end(outcome)
  outcomes.push(outcome)
}

process.stdout.write(renderReport(outcomes, machine, options.quick))
if (earlier !== undefined) {
  const now = outcomes.map(({ answer, name }) => ({ name, comparisons: answer?.comparisons }))
  process.stdout.write(renderChanges(changesSince(earlier, now), options.compare ?? ""))
}
if (options.markdown) process.stdout.write(`\n${renderMarkdown(outcomes)}`)
if (options.json !== undefined) writeFileSync(options.json, toJson(outcomes, machine, options.quick))
if (outcomes.some((outcome) => outcome.problem !== undefined)) process.exitCode = 1
