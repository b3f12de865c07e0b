/**
 * The load balancer in front of the demo's processes, as an operator would have one.
 *
 * Each request and each WebSocket goes to a process that is there: what concerns runs to a worker, all else to the gateways
 * in turn. `?node=<name>` asks for one process by name. A connection stays where it is; when its process dies it is cut,
 * and the next one goes elsewhere.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http"
import { connect, Socket } from "node:net"
import type { Role } from "../process/Place.ts"

/** A process that may be sent to; `port` is `undefined` while it is not there. */
export interface Backend {
  readonly name: string
  readonly role: Role
  port: number | undefined
}

/** The balancer. `port` is where it listens. */
export interface Balancer {
  readonly port: number
}

const ofRuns = new Set(["/api/ask", "/api/chat", "/api/agent"])

const nobody = (wanted: string) => `There is no ${wanted} just now. Try again in a moment.`

/** Listens on the loopback interface until the scope closes; `port` 0 takes a free one. */
export const make = (
  backends: ReadonlyArray<Backend>,
  port: number
): Effect.Effect<Balancer, NodeJS.ErrnoException, Scope.Scope> =>
  Effect.suspend(() => {
    let turn = 0
    const choose = ({ url = "/" }: IncomingMessage): { readonly wanted: string; readonly port: number | undefined } => {
      const { pathname, searchParams } = new URL(url, "http://localhost")
      const node = searchParams.get("node")
      const role: Role = ofRuns.has(pathname) ? "worker" : "gateway"
      const fitting = backends.filter((one) => node === null ? one.role === role : one.name === node)
      const there = fitting.flatMap(({ port }) => port === undefined ? [] : [port])
      return { wanted: node ?? role, port: there[turn++ % there.length] }
    }

    const pass = (from: IncomingMessage, to: ServerResponse) => {
      const { port, wanted } = choose(from)
      const refuse = (status: number) => {
        if (to.headersSent) return void to.destroy()
        to.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" })
        to.end(JSON.stringify({ error: nobody(wanted) }))
      }
      if (port === undefined) return refuse(503)
      const onward = request(
        { host: "127.0.0.1", port, method: from.method, path: from.url, headers: from.headers, agent: false },
        (answer) => {
          to.writeHead(answer.statusCode ?? 502, answer.headers)
          answer.on("error", () => to.destroy())
          answer.pipe(to)
        }
      )
      onward.on("error", () => refuse(502))
      to.on("close", () => onward.destroy())
      from.pipe(onward)
    }

    const sockets = new Set<Socket>()
    const upgrade = (from: IncomingMessage, near: Socket, head: Buffer) => {
      const { port } = choose(from)
      if (port === undefined) return void near.end("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n")
      const far = connect(port, "127.0.0.1")
      for (const [socket, other] of [[near, far], [far, near]] as const) {
        sockets.add(socket)
        socket.setNoDelay(true)
        socket.on("error", () => socket.destroy())
        socket.on("close", () => {
          sockets.delete(socket)
          other.destroy()
        })
      }
      const lines = [`${from.method} ${from.url} HTTP/1.1`]
      for (let i = 0; i < from.rawHeaders.length; i += 2) lines.push(`${from.rawHeaders[i]}: ${from.rawHeaders[i + 1]}`)
      far.write(`${lines.join("\r\n")}\r\n\r\n`)
      far.write(head)
      near.pipe(far).pipe(near)
    }

    const server = createServer(pass).on("upgrade", (from, near, head) => {
      near.on("error", () => near.destroy())
      if (near instanceof Socket) upgrade(from, near, head)
    })
    return Effect.acquireRelease(
      Effect.callback<Balancer, NodeJS.ErrnoException>((resume) => {
        server.once("error", (error) => resume(Effect.fail(error)))
        server.listen(port, "127.0.0.1", () => {
          const address = server.address()
          resume(Effect.succeed({ port: typeof address === "object" && address !== null ? address.port : port }))
        })
      }),
      () =>
        Effect.sync(() => {
          server.close()
          server.closeAllConnections()
          for (const socket of sockets) socket.destroy()
        })
    )
  })
