/**
 * The processes of the demo, where there are several: each one's report, all of them as one, and a table that shows them.
 */
import type { Api } from "../connection/api.ts"
import { count, duration, h } from "../view/dom.ts"

/** What a process says of itself, or the sum of what several say. */
export type Report = Readonly<Record<string, unknown>>

/** A number of a report; 0 where the process has no such thing. */
export const number = (report: Report, key: string): number => typeof report[key] === "number" ? report[key] : 0

/** A part of a report. */
export const record = (report: Report, key: string): Report => {
  const value = report[key]
  return typeof value === "object" && value !== null ? { ...value } : {}
}

/** A size for people. */
export const bytes = (n: number) =>
  n < 1024 ? `${n} B` : n < 1_048_576 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / 1_048_576).toFixed(1)} MiB`

/** A process and its report, `undefined` while it is not there. */
export interface Node {
  readonly name: string
  readonly report: Report | undefined
}

/** One look at all processes. `nodes` is empty where one process does everything. */
export interface Look {
  readonly all: Report
  readonly nodes: ReadonlyArray<Node>
}

const strings = (value: unknown): ReadonlyArray<string> =>
  Array.isArray(value) ? value.flatMap((one) => typeof one === "string" ? [one] : []) : []

const severity = ["closed", "halfOpen", "open"]

/** Takes a look. It rejects when no process can be asked. */
export const looker = (api: Api): () => Promise<Look> => {
  let names: ReadonlyArray<string> = []
  return async () => {
    if (names.length === 0) {
      const only = await api.stats()
      names = strings(only["nodes"])
      if (names.length === 0) return { all: only, nodes: [] }
    }
    const answers = await Promise.allSettled(names.map((name) => api.stats(name)))
    const nodes = names.map((name, index) => {
      const answer = answers[index]
      return { name, report: answer?.status === "fulfilled" ? answer.value : undefined }
    })
    return { all: together(nodes.flatMap(({ report }) => report === undefined ? [] : [report])), nodes }
  }
}

const together = (reports: ReadonlyArray<Report>): Report => {
  const sum = (key: string) => reports.reduce((all, report) => all + number(report, key), 0)
  const any = (key: string) => reports.some((report) => report[key] === true)
  const most = (key: string) => Math.max(0, ...reports.map((report) => number(report, key)))
  const sums = (key: string) => {
    const all: Record<string, number> = {}
    for (const report of reports) {
      const part = record(report, key)
      for (const name of Object.keys(part)) all[name] = (all[name] ?? 0) + number(part, name)
    }
    return all
  }
  const keys = new Set(reports.flatMap((report) => Object.keys(report)))
  const added = Object.fromEntries([...keys].map((key) => [key, sum(key)]))
  return {
    ...added,
    at: most("at"),
    lag: most("lag"),
    breaker: severity.findLast((state) => reports.some((report) => report["breaker"] === state)) ?? "unknown",
    brokerAway: any("brokerAway"),
    draining: any("draining"),
    gaps: { retention: 0, epoch: 0, slow: 0, ...sums("gaps") },
    closed: sums("closed")
  }
}

const columns = ["Process", "Role", "Id", "Up", "Devices", "Delivered", "Accepted", "Pending", "Heap"]

/** A table of processes, with a button to kill each. */
export const nodesTable = (kill: (name: string) => void) => {
  const body = h("tbody")
  const element = h(
    "table",
    { class: "nodes" },
    h("thead", {}, h("tr", {}, ...columns.map((title) => h("th", { scope: "col" }, title)), h("td"))),
    body
  )
  interface Row {
    readonly cells: ReadonlyArray<HTMLElement>
    readonly row: HTMLElement
    readonly button: HTMLButtonElement
  }
  const rows = new Map<string, Row>()
  const rowOf = (name: string): Row => {
    const found = rows.get(name)
    if (found !== undefined) return found
    const cells = columns.slice(1).map(() => h("td"))
    const button = h(
      "button",
      { type: "button", "aria-label": `Kill ${name}`, on: { click: () => kill(name) } },
      "Kill"
    )
    const row = h("tr", { "data-node": name }, h("th", { scope: "row" }, name), ...cells, h("td", {}, button))
    const made: Row = { cells, row, button }
    rows.set(name, made)
    body.append(row)
    return made
  }
  return {
    element,
    update: (nodes: ReadonlyArray<Node>) => {
      for (const { name, report } of nodes) {
        const { button, cells, row } = rowOf(name)
        button.disabled = report === undefined
        row.dataset["state"] = report === undefined ? "down" : "up"
        const node = report === undefined ? {} : record(report, "node")
        const shown = (key: string) => report !== undefined && key in report ? count(number(report, key)) : "–"
        const texts = report === undefined ? ["not there", ...Array<string>(7).fill("–")] : [
          String(node["role"]),
          String(node["process"]),
          duration(number(node, "upMs")),
          shown("connections"),
          shown("written"),
          shown("accepted"),
          shown("pending"),
          bytes(number(report, "heapBytes"))
        ]
        for (const [index, cell] of cells.entries()) cell.textContent = texts[index] ?? ""
      }
    }
  }
}
