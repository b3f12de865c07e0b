/** A page over AG-UI that goes on after a reload, shows what other tabs began, and stops for all of them. */
import { EmitterAgent } from "effect-emitter/ag-ui/client"

const token = new URLSearchParams(location.search).get("token") ?? ""
const agent = new EmitterAgent({ threadId: "t1", api: "/agent", connection: { url: "/events", token } })

const main = document.body.appendChild(document.createElement("main"))
const show = (status: string) => () => {
  main.dataset["status"] = status
  main.replaceChildren(
    ...agent.messages.map(({ content, role }) =>
      Object.assign(document.createElement("p"), { className: role, textContent: String(content) })
    )
  )
}
agent.subscribe({
  onRunInitialized: show("running"),
  onMessagesChanged: show("running"),
  onRunFinalized: show("ready")
})

const button = (id: string, onclick: () => void) =>
  document.body.append(Object.assign(document.createElement("button"), { id, textContent: id, onclick }))
button("ask", () => {
  agent.addMessage({ id: crypto.randomUUID(), role: "user", content: "hello" })
  void agent.runAgent()
})
button("stop", () => agent.abortRun())
void agent.connectAgent()
agent.watch(() => void agent.connectAgent())
