/**
 * A network that loses its connections: it passes bytes between devices and a server, and cuts each device off now and
 * then. Each device comes to a port of its own, so that it is cut off as one.
 */
import { once } from "node:events"
import * as net from "node:net"
import { on, serve } from "../harness/process.ts"
import * as calls from "./calls.ts"
import { onCpu } from "./shared.ts"

interface Line {
  readonly server: net.Server
  readonly open: Set<net.Socket>
  isOffline: boolean
  timer: NodeJS.Timeout | undefined
}

let lines: ReadonlyArray<Line> = []
let cuts = 0

const openLine = async (target: number): Promise<Line> => {
  const open = new Set<net.Socket>()
  const line: Line = {
    server: net.createServer({ noDelay: true }, (near) => {
      near.on("error", () => near.destroy())
      if (line.isOffline) return void near.resetAndDestroy()
      const far = net.connect({ port: target, host: "127.0.0.1", noDelay: true })
      open.add(near)
      far.on("error", () => far.destroy())
      near.on("close", () => {
        open.delete(near)
        far.resetAndDestroy()
      })
      far.on("close", () => near.resetAndDestroy())
      near.pipe(far)
      far.pipe(near)
    }),
    open,
    isOffline: false,
    timer: undefined
  }
  line.server.listen(0, "127.0.0.1")
  await once(line.server, "listening")
  return line
}

const cut = (line: Line): void => {
  cuts++
  line.isOffline = true
  for (const socket of line.open) socket.resetAndDestroy()
}

/** Cuts a line off after about so long, and lets it live again, over and over. */
const cutAgain = (line: Line, afterMs: number, meanMs: number, offlineMs: number): void => {
  line.timer = setTimeout(() => {
    cut(line)
    line.timer = setTimeout(() => {
      line.isOffline = false
      cutAgain(line, (0.5 + Math.random()) * meanMs, meanMs, offlineMs)
    }, offlineMs)
  }, afterMs)
}

serve(
  onCpu,
  on(calls.openLines, async ({ count, url }) => {
    const target = Number(new URL(url).port)
    lines = await Promise.all(Array.from({ length: count }, () => openLine(target)))
    return {
      urls: lines.map(({ server }) => {
        const address = server.address()
        const through = new URL(url)
        through.port = String(typeof address === "object" ? address?.port : 0)
        return through.href
      })
    }
  }),
  on(calls.cutLines, async ({ everySeconds, offlineSeconds }) => {
    // As if they had been cut for a while: the next one is anywhere between now and the longest time.
    for (const line of lines) {
      cutAgain(line, Math.random() * everySeconds * 1_000, everySeconds * 1_000, offlineSeconds * 1_000)
    }
    return {}
  }),
  on(calls.mendLines, async () => {
    for (const line of lines) {
      clearTimeout(line.timer)
      line.isOffline = false
    }
    const result = { cuts }
    cuts = 0
    return result
  })
)
