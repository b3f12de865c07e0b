/**
 * A small line chart of the newest values of one number.
 */
import { h, setText } from "../view/dom.ts"

const width = 240
const height = 56
const ns = "http://www.w3.org/2000/svg"

const svg = (tag: string, attributes: Record<string, string>): SVGElement => {
  const element = document.createElementNS(ns, tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  return element
}

/** A chart, and what adds a value to it. Values older than `kept` go. */
export const chart = (options: {
  readonly id: string
  readonly title: string
  readonly about: string
  readonly format: (value: number) => string
  readonly kept: number
}) => {
  const now = h("strong", { class: "now" }, "–")
  const most = h("span", { class: "most" })
  const line = svg("polyline", { class: "line" })
  const area = svg("polygon", { class: "area" })
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" })
  drawing.append(area, line)
  const element = h(
    "figure",
    { class: "card chart", "data-chart": options.id },
    h(
      "figcaption",
      {},
      h("span", { class: "chart-title" }, options.title),
      now,
      h("span", { class: "about" }, options.about)
    ),
    drawing,
    most
  )
  const values: Array<number> = []
  return {
    element,
    add: (value: number) => {
      values.push(value)
      if (values.length > options.kept) values.shift()
      const highest = Math.max(...values)
      const top = Math.max(1, highest)
      const x = (index: number) => width - (values.length - 1 - index) * (width / (options.kept - 1))
      const points = values.map((one, index) =>
        `${x(index).toFixed(1)},${(height - 2 - one / top * (height - 6)).toFixed(1)}`
      )
      line.setAttribute("points", points.join(" "))
      area.setAttribute("points", [`${x(0).toFixed(1)},${height}`, ...points, `${width},${height}`].join(" "))
      setText(now, options.format(value))
      setText(most, `highest ${options.format(highest)}`)
      drawing.setAttribute(
        "aria-label",
        `${options.title}: ${options.format(value)} now, at most ${options.format(highest)}`
      )
    }
  }
}
