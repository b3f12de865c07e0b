/**
 * The demo's runs by `useChat` of the AI SDK, over `EmitterChatTransport`.
 */
import { useChat } from "@ai-sdk/react"
import type { UIMessage } from "ai"
import { useEffect, useSyncExternalStore } from "react"
import { type Run, statusMessage } from "../../../client/index.ts"
import { EmitterChatTransport, type RunMetadata } from "../../../interop/ai-sdk/client.ts"
import { forUser } from "../connection/api.ts"
import { draw, Page, type Shown, thread, user } from "./Page.tsx"

type Parts = { readonly request: { readonly requestId: string; readonly title: string; readonly status: string } }

type Message = UIMessage<RunMetadata, Parts>

const transport = new EmitterChatTransport({
  url: "/events",
  api: "/api/chat",
  token: forUser(user).token,
  recentRuns: 10
})
const { runs, status: connection } = transport.connection

/**
 * A run that ended before this page could show it. What a chat has said is its program's to keep; this page tells what the
 * connection remembers.
 */
const remembered = ({ input, startedAt, status, ...run }: Run): Message => ({
  id: run.id,
  role: "assistant",
  metadata: {
    run: { status, ...(input === undefined ? {} : { input }), ...(startedAt === undefined ? {} : { startedAt }) }
  },
  parts: run.parts.flatMap((part) => part.type === "text" ? [{ type: "text", text: part.text }] : [])
})

const byTime = (a: Message, b: Message): number =>
  (b.metadata?.run.startedAt ?? Infinity) - (a.metadata?.run.startedAt ?? Infinity)

const questionOf = ({ metadata }: Message): string | undefined => {
  const input = metadata?.run.input
  const question = typeof input === "object" && input !== null && "question" in input ? input["question"] : undefined
  return typeof question === "string" ? question : undefined
}

// Who stops a chat reads no further: how its run ended is known of the connection.
const shown = (message: Message, run: Run | undefined, stop: () => unknown): Shown => {
  const { id, metadata, parts } = message
  const request = parts.findLast((part) => part.type === "data-request")
  return {
    id,
    question: questionOf(message),
    status: run?.status ?? metadata?.run.status ?? "active",
    text: parts.flatMap((part) => part.type === "text" ? [part.text] : []).join("\n\n"),
    asks: request?.type === "data-request" && request.data.status === "open"
      ? {
        title: request.data.title,
        answer: (yes) => transport.answer(thread, request.data.requestId, yes)
      }
      : undefined,
    stop
  }
}

const Chat = () => {
  const { messages, resumeStream, sendMessage, stop } = useChat<Message>({ id: thread, transport })
  const status = useSyncExternalStore(connection.subscribe, connection.getSnapshot)
  const known = useSyncExternalStore(runs.subscribe, runs.getSnapshot)
  useEffect(() => transport.watch(thread, () => void resumeStream()), [resumeStream])

  const earlier = known.filter((run) => run.status !== "active" && !messages.some(({ id }) => id === run.id))
  const answers = [...messages.filter(({ role }) => role === "assistant"), ...earlier.map(remembered)]
  return (
    <Page
      ask={(text) => sendMessage({ text })}
      runs={answers.toSorted(byTime).map((message) => shown(message, known.find(({ id }) => id === message.id), stop))}
      status={statusMessage(status)}
    />
  )
}

draw(<Chat />)
