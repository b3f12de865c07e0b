/**
 * A client of the wire protocol in plain JavaScript, written from src/protocol/README.md alone: it knows nothing of the
 * package. It survives lost connections, hands each event over once, and says what is missing.
 */
const reactionTo = (code) => {
  if (code === 4401) return "renew"
  if (code === 4408 || code === 4409) return "resume"
  return code === 1008 || code === 1009 || (code >= 4400 && code < 4500) ? "stop" : "resume"
}

export const connect = ({ url, getToken, threads, recent, position, onEvent, onGap, onSnapshot, onStatus }) => {
  const ids = new Set()
  let socket, silence, ackTimer, ackAt, retry, welcomedAt
  const commands = new Map() // those without an answer, by id
  let accepted = false // whether this connection takes commands
  let asked = [] // the last events that asked for a confirmation
  let snapshots = 0 // how many are still to come
  let snapshotsFrom // where to resume from until they are there
  let attempt = 0,
    quickUntil = 0,
    endedSoon = false,
    lastAck = 0,
    notBefore = 0,
    heartbeatMs = 25_000,
    refusals = 0,
    done = false

  const command = (frame) => {
    if (!accepted) return
    frame.times++
    send(frame.sent)
    frame.again = setTimeout(command, 10_000, frame)
  }

  const send = (frame) => socket.readyState === 1 && socket.send(JSON.stringify(frame))

  const ack = (urgent, confirmed) => {
    const now = performance.now()
    const due = urgent ? Math.max(now, lastAck + 50) : now + 1_000
    if (ackTimer !== undefined && ackAt <= due) return
    clearTimeout(ackTimer)
    ackAt = due
    ackTimer = setTimeout(() => {
      ackTimer = undefined
      lastAck = performance.now()
      send({ type: "ack", ...position, confirmed })
    }, due - now)
  }

  const moveTo = (epoch, offset) => {
    position = { epoch, offset }
  }

  const awaitSnapshots = (count, resume) => {
    snapshots = count
    snapshotsFrom = count === 0 ? undefined : snapshotsFrom ?? { resume }
  }

  const take = {
    welcome(frame) {
      welcomedAt = performance.now()
      refusals = 0
      heartbeatMs = frame.heartbeatMs
      if (position === undefined) {
        moveTo(frame.epoch, frame.offset)
        awaitSnapshots(frame.snapshots, undefined)
      } else if (frame.recovered) {
        awaitSnapshots(frame.snapshots, position)
        if (position.offset > 0) ack(true, asked)
      }
      accepted = frame.accepts?.includes("command") === true
      for (const each of commands.values()) command(each)
      onStatus?.("live", frame)
    },
    command({ id, outcome, reason, path, message }) {
      const frame = commands.get(id)
      if (frame === undefined) return
      // This says nothing of what became of it before.
      if (reason === "tooMany" && frame.times > 1) return
      clearTimeout(frame.again)
      commands.delete(id)
      frame.answered({ outcome, reason, path, message })
    },
    events(frame) {
      if (snapshots > 0) throw new Error("events before all snapshots")
      if (frame.epoch !== position.epoch) throw new Error("events of another epoch")
      for (const event of frame.events) {
        if (event.offset <= position.offset) continue
        const before = event.offset - 1
        const filtered = threads !== undefined && before <= frame.upTo
        if (before !== position.offset && !filtered) throw new Error(`a hole before ${event.offset}`)
        if (!ids.has(event.id)) onEvent(event)
        ids.add(event.id)
        if (ids.size > 1_000) ids.delete(ids.values().next().value)
        moveTo(frame.epoch, event.offset)
        if (event.confirm === true) asked = [...asked.slice(-63), event.offset]
        ack(event.confirm === true)
      }
      if (frame.upTo > position.offset) moveTo(frame.epoch, frame.upTo)
    },
    gap(frame) {
      awaitSnapshots(frame.snapshots, position)
      if (frame.reason === "epoch") asked = []
      if (frame.reason === "epoch" || frame.to > position.offset) moveTo(frame.epoch, frame.to)
      onGap?.(frame)
    },
    snapshot(frame) {
      if (snapshots === 0) throw new Error("a snapshot that was not announced")
      awaitSnapshots(snapshots - 1)
      onSnapshot?.(frame)
    },
    status(frame) {
      onStatus?.(frame.state)
    },
    ping() {
      send({ type: "pong" })
    },
    goodbye(frame) {
      notBefore = frame.reconnectAfterMs
    },
    error(frame) {
      onStatus?.("complaint", frame)
    }
  }

  const open = async (renewed) => {
    onStatus?.("connecting")
    const token = await getToken(renewed)
    if (done) return
    if (token === undefined) return onStatus?.("stopped")
    const current = socket = new WebSocket(url, "emitter.v1.json")
    let ended = false

    const end = (code) => {
      if (ended) return
      ended = true
      for (const timer of [silence, ackTimer, ...[...commands.values()].map(({ again }) => again)]) clearTimeout(timer)
      ackTimer = undefined
      accepted = false
      if (snapshotsFrom !== undefined) position = snapshotsFrom.resume
      awaitSnapshots(0)
      const reaction = reactionTo(code)
      if (reaction === "renew") refusals++
      if (done || refusals >= 3 || reaction === "stop") return onStatus?.("stopped", { code })
      // A connection that was welcomed was a success, but not one closed for cause soon after it, twice in a row.
      const soon = welcomedAt !== undefined && performance.now() - welcomedAt < 10_000 && code >= 4400 &&
        ![4500, 4501].includes(code)
      if (welcomedAt !== undefined && !(soon && endedSoon)) {
        attempt = 0
        quickUntil = performance.now() + 5_000
      }
      if (welcomedAt !== undefined) endedSoon = soon
      welcomedAt = undefined
      const most = performance.now() < quickUntil ? 500 : 20_000
      const wait = notBefore + Math.random() * Math.min(most, 200 * 2 ** attempt)
      if (200 * 2 ** attempt < most) attempt++
      notBefore = 0
      onStatus?.("waiting", { code, wait })
      retry = setTimeout(open, wait, reaction === "renew")
    }

    const hear = () => {
      clearTimeout(silence)
      silence = setTimeout(() => {
        current.close()
        end(1006)
      }, heartbeatMs * 1.5)
    }

    current.onopen = () =>
      send({
        type: "hello",
        token,
        resume: position,
        threads,
        snapshots: recent,
        client: "plain/1",
        accepts: ["command"]
      })
    current.onclose = ({ code }) => end(code)
    current.onmessage = ({ data }) => {
      if (ended) return
      try {
        const frame = JSON.parse(data)
        if (!Object.hasOwn(take, frame.type)) throw new Error("an unknown frame")
        const early = welcomedAt === undefined && !["welcome", "goodbye", "error"].includes(frame.type)
        if (early) throw new Error(`${frame.type} before the welcome`)
        take[frame.type](frame)
        hear()
      } catch (error) {
        onStatus?.("fault", error)
        current.close(4400, "protocol violation")
        end(1006)
      }
    }
    hear()
  }

  open(false)
  return {
    position: () => snapshotsFrom === undefined ? position : snapshotsFrom.resume,
    command: (run, name, data, id = crypto.randomUUID()) =>
      new Promise((answered) => {
        const frame = { sent: { type: "command", id, run, name, data }, times: 0, answered }
        commands.set(id, frame)
        command(frame)
      }),
    cut: () => socket?.close(),
    close() {
      done = true
      for (const timer of [silence, ackTimer, retry, ...[...commands.values()].map(({ again }) => again)]) {
        clearTimeout(timer)
      }
      socket?.close()
    }
  }
}
