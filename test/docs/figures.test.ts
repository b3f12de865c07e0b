/** What the documents say was measured is what stands in the figures of the last whole run (`bench/figures.json`). */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { readFigures } from "../../bench/harness/figures.ts"
import { renderMarkdown, withUnit } from "../../bench/harness/report.ts"
import { renderModel } from "../../bench/model.ts"

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), "utf8")

const figures = readFigures(read("bench/figures.json"))
const comparisons = figures.questions.flatMap(({ comparisons = [] }) => comparisons)

/** A line of the table, whose first words these are, beside this contestant. */
const lineOf = (what: string, beside = "") => {
  const found = comparisons.find((line) => line.what.startsWith(what) && line.baseline.contestant.startsWith(beside))
  if (found === undefined) throw new Error(`no line of the table begins with ${JSON.stringify(what)}`)
  return found
}

type Figure = ReturnType<typeof lineOf>["subject"]

/** A figure with two digits, as one says it. */
const said = ({ unit, value }: Figure): string =>
  withUnit(value.median, unit).replace("/s", "").replace(
    /[\d.,]+/u,
    (number) => Number(Number(number.replaceAll(",", "")).toPrecision(2)).toLocaleString("en")
  )

const measured = (what: string, beside?: string): string => said(lineOf(what, beside).subject)
const other = (what: string, beside?: string): string => said(lineOf(what, beside).baseline)

/** Which of the sentences a document does not have. */
const unsaid = (file: string, sentences: ReadonlyArray<string>): ReadonlyArray<string> => {
  const text = read(file).replaceAll(/\s+/gu, " ")
  return sentences.filter((sentence) => !text.includes(sentence))
}

describe("bench/README.md", () => {
  const document = read("bench/README.md")
  // A formatter may align the columns of a table.
  const rowsOf = (text: string): ReadonlyArray<string> =>
    text.split("\n").filter((line) => line.startsWith("|")).map((line) =>
      line.split("|").map((cell) => cell.trim().replace(/^-+$/u, "-")).join("|")
    )
  const unstated = (table: string) => {
    const stated = new Set(rowsOf(document))
    return rowsOf(table).filter((row) => !stated.has(row))
  }

  it("is of a whole run", () => {
    assert.isFalse(figures.quick)
    assert.deepStrictEqual(figures.questions.filter((question) => question.comparisons === undefined), [])
  })

  it("has its table, line by line and no other", () => {
    assert.deepStrictEqual(unstated(renderMarkdown(comparisons)), [])
    const [, table = ""] = document.split("## Figures of the last whole run")
    assert.strictEqual(rowsOf(table).length, comparisons.length + 2)
  })

  it("has its model of a million users", () => {
    assert.deepStrictEqual(unstated(renderModel(figures)), [])
  })
})

it("README.md says what was measured", () => {
  const stop = (where: string) => `from Stop to the interrupted fiber, ${where}`
  const cut = "latency, p99, 500 devices"
  const adapter = "Socket.IO, Redis"
  const sentences = [
    `${measured(stop("one process, p50"))} in one process (median; 99 % within ${measured(stop("one process, p99"))})`,
    `${measured(stop("two gateways over Redis, p50"))} from one gateway to another over Redis (99 % within ${
      measured(stop("two gateways over Redis, p99"))
    })`,
    `got ${measured("delivered once and in order")} of their events once and in order, 99 % of them within ${
      measured(cut)
    } (Socket.IO with state recovery: ${other(cut)})`,
    `emits ${measured("emit, critical")} critical events a second into memory`,
    `delivers ${measured("batched, end to end", "Socket.IO")} batched ones over one connection (Socket.IO: ${
      other("batched, end to end", "Socket.IO")
    })`,
    `${measured("batched, over Redis, 1,000 users", adapter)} batched or ${
      measured("critical, over Redis, 1,000 users", adapter)
    } critical events a second from one process to another (Socket.IO's adapter: ${
      other("critical, over Redis, 1,000 users", adapter)
    })`,
    `everybody has everything within ${measured("every device has everything, after Redis")}`,
    `An idle connection holds ${measured("heap and buffers, one of 10,000 idle", "ws")} (\`ws\`: ${
      other("heap and buffers, one of 10,000 idle", "ws")
    })`
  ]
  assert.deepStrictEqual(unsaid("README.md", sentences), [])
})

it("src/broker/README.md says what each broker takes", () => {
  const way = (part: string, where: string) => `latency of a critical event, ${part}, beside 1,000 events/s ${where}`
  const row = (broker: string, one: string, many: string, where: string, bytes: string) =>
    `| ${broker} | ${measured(one)} | ${measured(many)} | ${measured(way("p50", where))} | ${
      measured(way("p99", where))
    } | ${measured(bytes)} of`
  const file = "over a file (normal)"
  const users = "to 100 users"
  const rows = [
    `| ${other(way("p50", file))} | ${other(way("p99", file))} | |`,
    row(
      "SQLite (`normal`)",
      "events appended one by one to a file (normal)",
      "events appended in batches of 64 to a file (normal)",
      file,
      "bytes of the file for a short event"
    ),
    row(
      "Postgres",
      "events appended one by one to Postgres",
      "events appended in batches of 64 to Postgres",
      users,
      "bytes of Postgres for an event"
    ),
    `| Redis | ${measured("events appended one by one", "plain XADD")} | ${
      measured("events appended in batches of 64", "plain XADD")
    } | ${other(way("p50", users))} | ${other(way("p99", users))} | ${
      measured("Redis's memory for an event appended in batches of 64")
    } of`
  ]
  assert.deepStrictEqual(unsaid("src/broker/README.md", rows), [])
})

it("src/broker/postgres/README.md says what a Postgres takes", () => {
  const sentences = [
    `took ${measured("events appended one by one to Postgres")} events a second one by one (a plain \`INSERT\`: ${
      other("events appended one by one to Postgres")
    }), ${measured("events appended in batches of 16 to Postgres")} in batches of 16 (${
      other("events appended in batches of 16 to Postgres")
    })`,
    `and ${measured("events appended in batches of 64 to Postgres")} to ${
      measured("events appended in batches of 256 to Postgres")
    } in batches of 64 and 256`,
    `carried ${measured("batched, by two processes")} events a second in batches`,
    `and ${measured("critical, by two processes")} one by one`
  ]
  assert.deepStrictEqual(unsaid("src/broker/postgres/README.md", sentences), [])
})

it("src/gateway/README.md says what compression wins, and at which level", () => {
  const text = "bytes over WebSocket for a text_delta, context takeover"
  const run = "bytes over WebSocket for an event of a whole run"
  const work = "the server's processor time over WebSocket for a text_delta, context takeover"
  const bytes = (figure: string) => figure.replace(" B", "")
  const times = (level: string) => lineOf(`${work}${level}`).ratio.median.toFixed(2)
  const sentences = [
    `a piece of text of ${bytes(other(text))} bytes takes ${bytes(measured(text))} with a context`,
    `tool outputs included, ${bytes(measured(`${run}, context`))} of ${bytes(other(run))} on average`,
    `the event takes ${bytes(measured(`${run}, each`))}`,
    `at level 6 that piece of text takes ${bytes(measured(`${text}, level 6`))} bytes`,
    `is ${times("")} times that without compression at level 1, and ${times(", level 6")} times at level 6`
  ]
  assert.deepStrictEqual(unsaid("src/gateway/README.md", sentences), [])
})
