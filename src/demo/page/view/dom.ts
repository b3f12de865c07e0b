/**
 * Makes elements. Text from events only ever becomes text nodes.
 */

type Child = Node | string | undefined

interface Attributes {
  readonly class?: string
  readonly id?: string
  readonly on?: Record<string, (event: Event) => void>
  readonly [attribute: string]: string | boolean | number | undefined | Record<string, (event: Event) => void>
}

/** Makes an element. Attributes that are `false` or `undefined` are left out, `true` ones have no value. */
export const h = <Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: ReadonlyArray<Child>
): HTMLElementTagNameMap[Tag] => {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "object") {
      for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener)
    } else if (value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value))
    }
  }
  for (const child of children) if (child !== undefined) element.append(child)
  return element
}

/** Writes a text where it changed, so that nothing is announced or repainted for nothing. */
export const setText = (element: Element, text: string): void => {
  if (element.textContent !== text) element.textContent = text
}

const numbers = new Intl.NumberFormat("en")

/** Text for people: `1,234`. */
export const count = (n: number): string => numbers.format(n)

/** `1 event`, `2 events`. */
export const plural = (n: number, one: string): string => `${count(n)} ${one}${n === 1 ? "" : "s"}`

/** A duration for people: `< 1 ms`, `120 ms`, `3.4 s`, `2 min 5 s`. */
export const duration = (ms: number): string => {
  if (ms < 1) return "< 1 ms"
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  return `${Math.floor(ms / 60_000)} min ${Math.round(ms % 60_000 / 1000)} s`
}
