/**
 * Answers the questions of this folder one after the other, each in a process of its own, and ends with one table.
 *
 * Ctrl-C ends it with the table of what was answered until then. So does the end of its time.
 *
 * `npm run bench -- --help` tells the options.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { readNumber, readOptions, refuse } from "../test/support/options.ts"
import { findProgram } from "../test/support/program.ts"
import type { Figures } from "./harness/figures.ts"
import type { Outcome } from "./harness/isolate.ts"
import { Progress } from "./harness/progress.ts"
import { renderModel } from "./model.ts"
import { needPostgres, needRedis, questions } from "./questions.ts"

/** How many minutes a run takes at most, and a question of it. */
const minutes = 60
const minutesEach = 10

const help = `npm run bench -- [options]

  --only <name>     answer this question only; may be given several times
  --quick           fewer rounds and smaller numbers: a first impression, not a result
  --minutes <n>     end after so many minutes at most, ${minutes} by default, with what was answered until then
  --json <file>     also write every measurement to a file
  --compare <file>  also tell what became better or worse since the run that wrote this file with --json
  --markdown        also print the table as Markdown, in the form of the README's
  --table <file>    measure nothing, but print such a file's table in that form
  --model <file>    measure nothing, but tell from such a file of a full run what a million users would need
  --help            this text

Questions: ${[...questions.keys()].join(", ")}
`

const options = readOptions("bench", {
  only: { type: "string", multiple: true, default: [] },
  quick: { type: "boolean", default: false },
  minutes: { type: "string", default: String(minutes) },
  json: { type: "string" },
  compare: { type: "string" },
  markdown: { type: "boolean", default: false },
  table: { type: "string" },
  model: { type: "string" },
  help: { type: "boolean", default: false }
})
if (options.help) {
  process.stdout.write(help)
  process.exit(0)
}
// What it takes to run is loaded only by who runs it: help and a refusal are there at once.
const { changesSince } = await import("./harness/changes.ts")
const { readFigures } = await import("./harness/figures.ts")
const { answerInProcess } = await import("./harness/isolate.ts")
const { describeMachine } = await import("./harness/machine.ts")
const { renderChanges, renderMarkdown, renderReport, toJson } = await import("./harness/report.ts")

const readFile = (file: string): Figures => {
  try {
    return readFigures(readFileSync(file, "utf8"))
  } catch (error) {
    return refuse("bench", `${file} is no file that --json wrote: ${String(error).replaceAll(/\s+/gu, " ")}`)
  }
}
if (options.table !== undefined) {
  process.stdout.write(renderMarkdown(readFile(options.table).questions.flatMap(({ comparisons = [] }) => comparisons)))
  process.exit(0)
}
if (options.model !== undefined) {
  process.stdout.write(renderModel(readFile(options.model)))
  process.exit(0)
}
const readEarlier = (file: string): Figures => {
  const figures = readFile(file)
  if (figures.quick === options.quick) return figures
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
const interruption = new AbortController()
process.on("SIGINT", () => {
  if (interruption.signal.aborted) process.exit(130)
  interruption.abort()
})
const { signal } = interruption
const endsAt = performance.now() + readNumber("bench", "minutes", options.minutes, 1) * 60_000
const secondsLeft = () => (endsAt - performance.now()) / 1_000
for (const name of wanted) {
  if (signal.aborted || secondsLeft() <= 0) break
  progress.begin(name)
  const bounds = { limitSeconds: Math.min(minutesEach * 60, secondsLeft()), signal }
  const outcome = await answerInProcess(name, options.quick, (text) => progress.update(text), bounds)
  progress.end(outcome)
  outcomes.push(outcome)
}
const unasked = wanted.slice(outcomes.length)

process.stdout.write(renderReport(outcomes, machine, options.quick))
if (unasked.length > 0) {
  const why = signal.aborted ? "it was interrupted" : "its time was up"
  process.stdout.write(`not asked, since ${why}: ${unasked.join(", ")}\n`)
}
if (earlier !== undefined) {
  const now = outcomes.map(({ answer, name }) => ({ name, comparisons: answer?.comparisons }))
  process.stdout.write(renderChanges(changesSince(earlier, now), options.compare ?? ""))
}
if (options.markdown) {
  process.stdout.write(`\n${renderMarkdown(outcomes.flatMap(({ answer }) => answer?.comparisons ?? []))}`)
}
if (options.json !== undefined) writeFileSync(options.json, toJson(outcomes, machine, options.quick))
if (signal.aborted) process.exitCode = 130
else if (unasked.length > 0 || outcomes.some((outcome) => outcome.problem !== undefined)) process.exitCode = 1
