/** A page over AG-UI that goes on after a reload, shows what other tabs began, and stops for all of them. */
import { EmitterAgent } from "effect-emitter/ag-ui/client"

const token = new URLSearchParams(location.search).get("token") ?? ""
const agent = new EmitterAgent({ threadId: "t1", api: "/agent", connection: { url: "/events", token } })

const make = (tag: string, more: object) => Object.assign(document.createElement(tag), more)
const main = make("main", {})
const show = (status: string) => () => {
  main.dataset["status"] = status
  main.replaceChildren()
  for (const { content, role } of agent.messages) main.append(make("p", { className: role, textContent: content }))
}
agent.subscribe({ onMessagesChanged: show("running"), onRunFinalized: show("ready") })

const ask = () => {
  agent.addMessage({ id: crypto.randomUUID(), role: "user", content: "hello" })
  void agent.runAgent()
}
document.body.append(main, make("button", { id: "ask", textContent: "Ask", onclick: ask }))
document.body.append(make("button", { id: "stop", textContent: "Stop", onclick: () => agent.abortRun() }))
void agent.connectAgent()
agent.watch(() => void agent.connectAgent())
