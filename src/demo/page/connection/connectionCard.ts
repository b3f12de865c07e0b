/**
 * Shows how a user's connection stands, and offers to disturb it.
 */
import { type Gap, type Loss, type Status, statusMessage } from "../../../client/index.ts"
import type { Position } from "../../../protocol/values/Position.ts"
import { toText } from "../../../protocol/values/PositionText.ts"
import type { Counts } from "./connection.ts"
import { count, h, plural, setText } from "../view/dom.ts"

/** What the server means by the close codes that a user may meet here. */
const closedTexts: Readonly<Record<string, string>> = {
  draining: "The server is stopping, and will be back",
  tooSlow: "This page read too slowly, and was let go of",
  heartbeatLost: "The server had not heard from this page",
  brokerUnavailable: "The server cannot read the events at the moment"
}

/** What a loss says of itself, with its remedy if it has one. */
const sentence = (detail: string): string => detail.charAt(0).toUpperCase() + detail.slice(1)

const lossText = (loss: Loss): string => {
  switch (loss._tag) {
    case "closed":
      if (loss.name === undefined) return "The connection broke"
      return closedTexts[loss.name] ?? sentence(loss.detail)
    case "silent":
      return "The connection fell silent"
    case "timeout":
      return "No answer came"
    case "missing":
    case "badFrame":
      return "The server sent something out of order"
    case "tokenFailed":
      return "No token could be had"
  }
}

const names: Record<Status["state"], string> = {
  connecting: "Connecting",
  live: "Live",
  degraded: "Events may be late",
  resuming: "Resuming",
  waiting: "Waiting",
  stopped: "Stopped"
}

/** What is so while the connection stands as it does, in a sentence or two. */
export const detail = (status: Status, now: number): string => {
  switch (status.state) {
    case "connecting":
      return "On the way to the first connection."
    case "live":
      return status.transport === "sse"
        ? "This page is up to date. WebSocket does not get through, so events come over plain HTTP."
        : "This page is up to date."
    case "degraded":
      return "The server may be without the newest events. They follow as soon as it has them."
    case "resuming":
      return "Going on from the last position."
    case "waiting": {
      const seconds = Math.max(0, status.retryAt - now) / 1000
      return `${lossText(status.cause)}. Next attempt in ${seconds.toFixed(1)} s.`
    }
    case "stopped":
      return statusMessage(status)
  }
}

/** What a screen reader is told: changes of state, not each tick of the countdown. */
export const spoken = (status: Status): string | undefined => {
  switch (status.state) {
    case "live":
      return `Connected. ${detail(status, 0)}`
    case "waiting":
      return status.attempt > 1 ? undefined : `${lossText(status.cause)}. Trying again.`
    case "stopped":
      return `The connection has stopped. ${detail(status, 0)}`
    case "connecting":
    case "degraded":
    case "resuming":
      return undefined
  }
}

/** One line of what did not come, and why. */
export const gapText = ({ from, reason, to }: Pick<Gap, "from" | "reason" | "to">): string => {
  const missed = to < from ? "Events" : plural(to - from + 1, "event")
  switch (reason) {
    case "slow":
      return `${missed} left out, since this page read too slowly. The state of their runs comes instead.`
    case "epoch":
      return "The server began a new log, without what was there before."
    default:
      return `${missed} no longer kept. The state of runs that the server knows comes instead.`
  }
}

/** The card, and what brings it up to date. */
export const connectionCard = (options: {
  readonly name: string
  readonly log: HTMLElement
  readonly cut: (holdMs: number) => void
  readonly slow: (ms: number) => void
  readonly kill: (node: string) => void
}) => {
  const state = h("strong", { class: "state" })
  const about = h("p", { class: "detail" })
  const position = h("code")
  const values = new Map<keyof Counts, HTMLElement>()
  const row = (key: keyof Counts, label: string, title: string) => {
    const value = h("dd", { "data-count": key }, "0")
    values.set(key, value)
    return h("div", { title }, h("dt", {}, label), value)
  }
  const cut = h("button", { type: "button", on: { click: () => options.cut(0) } }, "Cut the connection")
  const hold = h("button", { type: "button", on: { click: () => options.cut(5_000) } }, "Hold closed for 5 s")
  const slow = h("button", { type: "button", on: { click: () => options.slow(3_000) } }, "Slow it down for 3 s")
  // Only where there are several processes: then the connection's own is known by name.
  const gateway = h("strong")
  const on = h("p", { class: "gateway", hidden: true }, "On ", gateway)
  let current: string | undefined
  const killGateway = h("button", {
    type: "button",
    on: {
      click: () => {
        if (current !== undefined) options.kill(current)
      }
    }
  }, "Kill this gateway")
  const killWorker = h("button", { type: "button", on: { click: () => options.kill("worker") } }, "Kill the worker")
  const kills = h("div", { class: "buttons", hidden: true }, killGateway, killWorker)
  const element = h(
    "section",
    { class: "card connection", "aria-label": `Connection of ${options.name}` },
    h("h3", {}, "Connection"),
    h("p", { class: "status" }, h("span", { class: "dot", "aria-hidden": "true" }), state),
    on,
    h("p", { class: "position", title: "epoch:offset of the last event that was handled" }, "Position ", position),
    about,
    h(
      "dl",
      { class: "counts" },
      row("events", "Events", "handed over to this page, each once"),
      row("duplicates", "Duplicates", "came again over the wire, and were dropped"),
      row("gaps", "Gaps", "stretches of offsets that will not come, with the reason"),
      row("snapshots", "Snapshots", "states of runs in place of their events"),
      row("reconnects", "Reconnects", "connections after the first")
    ),
    h("div", { class: "buttons" }, cut, hold, slow),
    kills,
    options.log
  )
  let status: Status = { state: "connecting" }
  let timer: ReturnType<typeof setInterval> | undefined

  const paint = () => {
    setText(state, names[status.state])
    setText(about, detail(status, Date.now()))
    element.dataset["status"] = status.state
    if (status.state === "live") element.dataset["transport"] = status.transport
  }
  paint()
  return {
    element,
    status: (next: Status) => {
      status = next
      clearInterval(timer)
      if (next.state === "waiting") timer = setInterval(paint, 100)
      paint()
    },
    counts: (counts: Readonly<Counts>, at: Position | undefined, node: string | undefined) => {
      current = node
      on.hidden = node === undefined
      kills.hidden = node === undefined
      setText(gateway, node ?? "")
      for (const [key, value] of values) setText(value, count(counts[key]))
      setText(position, at === undefined ? "none yet" : toText(at))
    },
    close: () => clearInterval(timer)
  }
}
