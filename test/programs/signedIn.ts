/** A page on another origin than its server, signed in by a token or a cookie: CopilotKit or any page of AG-UI, and useChat. */
import { HttpAgent } from "@ag-ui/client"
import { DefaultChatTransport } from "ai"

/** The agent is one of CopilotKit's `agents`; the transport is for `useChat({ transport })`. */
export const byToken = (server: string, token: () => string) => ({
  agent: new HttpAgent({ url: `${server}/agent`, headers: { authorization: `Bearer ${token()}` } }),
  transport: new DefaultChatTransport({
    api: `${server}/api/chat`,
    headers: () => ({ authorization: `Bearer ${token()}` })
  })
})

/** The browser sends the cookie along, where the server's `origins` list the page's. */
export const byCookie = (server: string) => ({
  agent: new HttpAgent({
    url: `${server}/agent`,
    fetch: (url, init) => fetch(url, { ...init, credentials: "include" })
  }),
  transport: new DefaultChatTransport({ api: `${server}/api/chat`, credentials: "include" })
})
