/**
 * The operator's page: connections, rates, lag, breaker and spool, as the server counts them.
 */
import * as Api from "../connection/api.ts"
import { chart } from "./chart.ts"
import { count, h, setText } from "../view/dom.ts"
import { bytes, looker, nodesTable, number, record, type Report } from "./nodes.ts"

const api = Api.forUser("operator")

const find = (id: string): HTMLElement => {
  const element = document.getElementById(id)
  if (element === null) throw new Error(`the page has no #${id}`)
  return element
}

const perSecond = (n: number) => `${n < 10 ? n.toFixed(1) : Math.round(n).toLocaleString("en")} /s`

const kept = 120

const define = (
  id: string,
  title: string,
  about: string,
  format: (value: number) => string,
  read: (now: Report, rate: Rate) => number
) => ({
  ...chart({ id, title, about, format, kept }),
  read
})

/** By how much a counter rose per second since the last report. */
type Rate = (key: string) => number

const charts = [
  define("connections", "Connections", "devices that were welcomed", count, (now) => number(now, "connections")),
  define("degraded", "Degraded", "devices whose events may be late", count, (now) => number(now, "degraded")),
  define("accepted", "Accepted", "events that emitters took", perSecond, (_, rate) => rate("accepted")),
  define("written", "Delivered", "events written to devices", perSecond, (_, rate) => rate("written")),
  define("lag", "Largest lag", "events that one device is behind", count, (now) => number(now, "lag")),
  define("backlog", "Backlog", "bytes that wait for the network", bytes, (now) => number(now, "backlog")),
  define("pending", "Pending", "events on their way to the broker", count, (now) => number(now, "pending")),
  define("spooled", "Spool", "events that wait for the broker", count, (now) => number(now, "spooled")),
  define("heap", "Heap", "memory of the process", bytes, (now) => number(now, "heapBytes"))
]
find("charts").append(...charts.map(({ element }) => element))

const breakers: Record<string, string> = {
  closed: "closed: events go to the broker",
  open: "open: the broker is left alone",
  halfOpen: "half open: one event probes the broker",
  unknown: "unknown: no process that emits is there"
}

let said = ""
const tell = (report: Report) => {
  const breaker = String(report["breaker"])
  const away = report["brokerAway"] === true
  const breakerWords = away && breaker === "closed"
    ? "closed: no event has met the outage yet"
    : breakers[breaker] ?? breaker
  const words = `${away ? "The broker is away. " : ""}Breaker ${breakerWords}.${
    report["draining"] === true ? " The gateway is draining." : ""
  }`
  const state = find("state")
  setText(state, words)
  state.dataset["breaker"] = breaker
  state.dataset["broker"] = away ? "away" : "here"
  if (words !== said) find("announcements").replaceChildren(h("p", {}, words))
  said = words
}

const totals = (report: Report) => {
  const gaps = record(report, "gaps")
  const closed = Object.entries(record(report, "closed")).filter(([, n]) => n !== 0).map(([name, n]) =>
    `${name} ${String(n)}`
  )
  const rows: ReadonlyArray<readonly [string, string]> = [
    ["Events accepted", count(number(report, "accepted"))],
    ["Events delivered", count(number(report, "written"))],
    ["Out of the spool", count(number(report, "drained"))],
    ["Dead letters", count(number(report, "deadLettered"))],
    ["Dropped", count(number(report, "dropped"))],
    ["Left out for slow devices", count(number(report, "leftOut"))],
    [
      "Gaps told",
      `retention ${String(gaps["retention"])}, epoch ${String(gaps["epoch"])}, slow ${String(gaps["slow"])}`
    ],
    ["Closed by the server", closed.length === 0 ? "none" : closed.join(", ")]
  ]
  find("totals").replaceChildren(...rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))
}

const look = looker(api)
const table = nodesTable((name) => {
  api.kill(name).catch((error: unknown) =>
    setText(find("state"), error instanceof Error ? error.message : String(error))
  )
})
find("nodes").append(table.element)

let last: Report | undefined
const poll = async (): Promise<void> => {
  try {
    const { all: now, nodes } = await look()
    find("processes").hidden = nodes.length === 0
    table.update(nodes)
    const seconds = last === undefined ? 0 : (number(now, "at") - number(last, "at")) / 1000
    const rate: Rate = (key) =>
      last === undefined || seconds <= 0 ? 0 : Math.max(0, number(now, key) - number(last, key)) / seconds
    for (const { add, read } of charts) add(read(now, rate))
    tell(now)
    totals(now)
    last = now
  } catch (error) {
    const state = find("state")
    setText(state, error instanceof Error ? error.message : String(error))
    state.dataset["breaker"] = "unknown"
  }
  setTimeout(() => void poll(), 1_000)
}
void poll()

find("outage").addEventListener("click", () => {
  api.outage(5_000).catch((error: unknown) => setText(find("state"), String(error)))
})
