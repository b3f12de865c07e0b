/** A chat of TanStack AI that goes on after a reload and on another device, and stops for all of them. */
import { ChatClient } from "@tanstack/ai-client"
import { EmitterConnectionAdapter } from "effect-emitter/tanstack-ai"

export const open = (base: string, token: string, threadId: string, show: (text: string) => void) => {
  const connection = new EmitterConnectionAdapter({ url: `${base}/events`, api: `${base}/agent`, token })
  const chat = new ChatClient({
    connection,
    threadId,
    persistence: true,
    onMessagesChange: (messages) => {
      const parts = messages.flatMap(({ parts }) => parts)
      show(parts.map((part) => (part.type === "text" ? part.content : "")).join("\n"))
    }
  })
  chat.attach()
  // A run that another tab began.
  connection.watch(threadId, () => {
    chat.detach()
    chat.attach()
  })
  return { chat, close: connection.close }
}
