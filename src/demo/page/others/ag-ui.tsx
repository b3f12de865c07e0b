/**
 * The demo's runs by a client of AG-UI, over `EmitterAgent`.
 */
import { useEffect, useState, useSyncExternalStore } from "react"
import { statusMessage } from "../../../client/index.ts"
import { EmitterAgent } from "../../../interop/ag-ui/client.ts"
import { forUser } from "../connection/api.ts"
import * as Facts from "../run/facts.ts"
import { draw, Page, type Shown, thread, user } from "./Page.tsx"

const agent = new EmitterAgent({
  threadId: thread,
  api: "/api/agent",
  connection: { url: "/events", token: forUser(user).token, recentRuns: 10 }
})
const { connection } = agent

/** The texts of the agent's messages by their runs, whose ids theirs begin with. */
const textsOf = (messages: EmitterAgent["messages"]) => {
  const texts = new Map<string, Array<string>>()
  for (const { content, id, role } of messages) {
    const [run = "", kind] = id.split(":")
    if (role === "assistant" && kind === "text") texts.set(run, [...texts.get(run) ?? [], String(content)])
  }
  return texts
}

const answer = (interruptId: string, yes: boolean) =>
  agent.runAgent({ resume: [{ interruptId, status: "resolved", payload: yes }] })

const Agent = () => {
  const [messages, setMessages] = useState(agent.messages)
  const [interrupts, setInterrupts] = useState(agent.pendingInterrupts)
  const status = useSyncExternalStore(connection.status.subscribe, connection.status.getSnapshot)
  const known = useSyncExternalStore(connection.runs.subscribe, connection.runs.getSnapshot)

  useEffect(() => {
    const update = () => {
      setMessages(agent.messages.slice())
      setInterrupts(agent.pendingInterrupts)
    }
    const subscription = agent.subscribe({
      onMessagesChanged: update,
      onRunInitialized: update,
      onRunFinalized: update
    })
    const connect = () => void agent.connectAgent()
    connect()
    const end = agent.watch(connect)
    return () => {
      end()
      subscription.unsubscribe()
    }
  }, [])

  const texts = textsOf(messages)
  const runs = known.toSorted(Facts.byTime).map((run): Shown => {
    const interrupt = interrupts.find(({ id }) => id.startsWith(`${run.id}:`))
    return {
      id: run.id,
      question: Facts.question(run),
      status: run.status,
      text: texts.get(run.id)?.join("\n\n") ?? "",
      asks: interrupt && run.status === "active"
        ? { title: interrupt.message ?? "", answer: (yes) => answer(interrupt.id, yes) }
        : undefined,
      stop: () => connection.run(run.id).cancel()
    }
  })
  const ask = (content: string) => {
    agent.addMessage({ id: crypto.randomUUID(), role: "user", content })
    return agent.runAgent()
  }
  return <Page ask={ask} runs={runs} status={statusMessage(status)} />
}

draw(<Agent />)
