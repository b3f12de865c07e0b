/**
 * The demo's page: a user, and on request a second one beside them.
 */
import * as Panel from "./panel.ts"

/** The users that the demo's server knows. */
const users = [{ user: "ada", name: "Ada" }, { user: "grace", name: "Grace" }] as const

const besideKey = "effect-emitter-demo:beside"

const find = (id: string): HTMLElement => {
  const element = document.getElementById(id)
  if (element === null) throw new Error(`the page has no #${id}`)
  return element
}

// After a reload the run is brought into view, wherever the page stood before.
history.scrollRestoration = "manual"

const main = find("main")
const beside = find("beside")
const announcements = find("announcements")

let clearing: ReturnType<typeof setTimeout> | undefined
const announce = (text: string) => {
  // One after another: a text that stays is not read again, and one that is replaced at once may not be read at all.
  const words = document.createElement("p")
  words.textContent = text
  announcements.append(words)
  clearTimeout(clearing)
  clearing = setTimeout(() => announcements.replaceChildren(), 10_000)
}

const asked = new URLSearchParams(location.search).get("user")
const first = users.find(({ user }) => user === asked) ?? users[0]
const second = users.find(({ user }) => user !== first.user) ?? users[1]

for (const link of document.querySelectorAll<HTMLAnchorElement>(".ways a")) link.search = location.search

const own = Panel.open({ ...first, announce })
main.append(own.element)
find("skip").addEventListener("click", (event) => {
  event.preventDefault()
  own.focus()
})

let other: Panel.Panel | undefined
const closed = () => {
  other = undefined
  sessionStorage.removeItem(besideKey)
  main.classList.remove("two")
  beside.setAttribute("aria-expanded", "false")
  beside.textContent = "Open a second user beside"
}
const openBeside = () => {
  other = Panel.open({
    ...second,
    announce,
    onClose: () => {
      closed()
      beside.focus()
    }
  })
  main.append(other.element)
  main.classList.add("two")
  sessionStorage.setItem(besideKey, "open")
  beside.setAttribute("aria-expanded", "true")
  beside.textContent = "Close the second user"
}

beside.addEventListener("click", () => {
  if (other === undefined) {
    openBeside()
    announce(`${second.name} is open beside ${first.name}.`)
  } else {
    other.close()
    closed()
  }
})
if (sessionStorage.getItem(besideKey) === "open") openBeside()
