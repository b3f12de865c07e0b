/**
 * Random schedules of a session and a model server.
 */
import type { TransportName } from "../../../src/client/transport/Transports.ts"
import type { Config } from "../../../src/client/session/SessionState.ts"
import { ModelClient } from "../ModelClient.ts"
import { type Damage, Dice, ModelServer, type ServerSocket } from "../ModelServer.ts"

/** What goes wrong besides connections that are cut at any point. */
export interface Weather {
  readonly epochs: boolean
  readonly gaps: boolean
  readonly damage: ReadonlyArray<Damage>
  /** Whether transports are blocked and let through again, and acknowledgements by HTTP are lost. */
  readonly blocks: boolean
}

/** Nothing. */
export const fair: Weather = { epochs: false, gaps: false, damage: [], blocks: false }

const blockades: ReadonlyArray<ReadonlyArray<TransportName>> = [[], ["websocket"], ["sse"], ["websocket", "sse"]]

/** Runs a random schedule, then lets the network be good until the client has caught up. */
export const play = (seed: number, weather: Weather, config: Partial<Config> = {}) => {
  const dice = new Dice(seed)
  const server = new ModelServer(dice)
  server.append(dice.int(0, 10))
  const client = new ModelClient(server, config)
  const codes = [1006, 1001, 1011, 4500, 4501, 4502, 4503]

  for (let turn = dice.int(20, 200); turn > 0; turn--) {
    const { socket } = client
    if (socket !== undefined && dice.chance(0.3)) server.hear(socket)
    if (weather.blocks) {
      if (dice.chance(0.1)) client.blocked = dice.pick(blockades)
      if (dice.chance(0.1)) client.answering = dice.chance(0.7)
      if (dice.chance(0.1)) client.posting = dice.chance(0.5)
      if (dice.chance(0.7)) client.answer()
    }
    const kind = dice.next()
    if (kind < 0.2) server.append(dice.int(1, 4))
    else if (kind < 0.5) client.advance()
    else if (kind < 0.6) client.handle(dice.int(1, 4))
    else if (kind < 0.68) client.pass(dice.int(0, 2_000))
    else if (kind < 0.69) client.pass(60_000)
    else if (kind < 0.695) client.tell({ _tag: "pause" })
    else if (client.state.phase._tag === "Paused") client.tell({ _tag: "resume" })
    else if (kind < 0.71 && weather.epochs) server.forget()
    else if (kind < 0.73 && weather.gaps) server.trim()
    else if (socket === undefined) client.pass()
    else if (kind < 0.75 && weather.gaps) server.skip(socket)
    else if (kind < 0.77) server.ping(socket)
    else if (kind < 0.79) server.degrade(socket, !socket.degraded)
    else if (kind < 0.82) client.cut(dice.pick(codes))
    else if (kind < 0.87 && weather.blocks) client.cut(1006)
    else if (kind < 0.84 && weather.damage.length > 0) server.damage(socket, dice.pick(weather.damage))
    else server.pump(socket)
  }

  if (weather.blocks) {
    client.blocked = dice.pick(blockades.filter(({ length }) => length < 2))
    client.answering = true
    client.posting = true
    if (client.socket !== undefined && client.blocked.includes(client.transport)) client.cut(1006)
  }
  const socket = catchUp(client, server)
  server.ping(socket)
  while (socket.frames.length > 0) client.advance()
  client.handle(Infinity)
  client.pass(1_500)
  server.hear(socket)
  return { client, server, socket }
}

/** Fair weather until all is there; a connection that was damaged may still be found out. */
export const catchUp = (client: ModelClient, server: ModelServer): ServerSocket => {
  const caughtUp = () => {
    const { socket } = client
    return client.live && socket?.frames.length === 0 && socket.cursor?.epoch === server.log.epoch &&
      socket.cursor.offset === server.head
  }
  for (let turn = 0; !caughtUp(); turn++) {
    if (turn > 10_000) throw new Error(`not live after ${client.now} ms: ${JSON.stringify(client.state.phase)}`)
    client.tell({ _tag: "resume" })
    client.answer()
    if (client.socket === undefined || client.state.phase._tag === "Waiting") client.pass()
    client.advance()
    if (client.socket === undefined) continue
    server.degrade(client.socket, false)
    server.pump(client.socket, 1_000)
  }
  const { socket } = client
  if (socket === undefined) throw new Error("live without a socket")
  return socket
}
