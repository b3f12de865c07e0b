/** A chat of the AI SDK that goes on after a reload, shows what other tabs began, and stops for all of them. */
import { useChat } from "@ai-sdk/react"
import { EmitterChatTransport } from "effect-emitter/ai-sdk/client"
import { useEffect } from "react"
import { createRoot } from "react-dom/client"

const token = new URLSearchParams(location.search).get("token") ?? ""
const transport = new EmitterChatTransport({ url: "/events", api: "/api/chat", token })

const Chat = () => {
  const { messages, resumeStream, sendMessage, status, stop } = useChat({ id: "t1", transport, resume: true })
  useEffect(() => transport.watch("t1", () => void resumeStream()), [resumeStream])
  return (
    <main data-status={status}>
      {messages.map(({ id, parts, role }) => (
        <p key={id} className={role}>{parts.map((part) => (part.type === "text" ? part.text : ""))}</p>
      ))}
      <button id="ask" onClick={() => void sendMessage({ text: "hello" })}>Ask</button>
      <button id="stop" onClick={() => void stop()}>Stop</button>
    </main>
  )
}

createRoot(document.body.appendChild(document.createElement("div"))).render(<Chat />)
