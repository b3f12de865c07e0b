import { assert, describe, it } from "@effect/vitest"
import { Socket } from "node:net"
import { DeviceSocket, type Listener } from "../../../src/gateway/websocket/DeviceSocket.ts"

/** A socket as `ws` makes it for a handshake. */
const makeSocket = (): DeviceSocket => Reflect.construct(DeviceSocket, [null, undefined, {}])

describe("A device's socket", () => {
  it("has its table of listeners in common with all others, and takes none", () => {
    const [one, other] = [makeSocket(), makeSocket()]
    assert.isFalse(Object.hasOwn(one, "_events"))
    assert.strictEqual(one._events, other._events)
    assert.throws(() => one.on("message", () => {}), TypeError)
    assert.throws(() => one.once("close", () => {}), TypeError)
    assert.deepStrictEqual(other.eventNames(), [])
  })

  it("tells its listener what happens, and nobody else", () => {
    const socket = makeSocket()
    assert.isFalse(socket.emit("open"))
    const told: Array<unknown> = []
    const listener: Listener = {
      onText: (text) => told.push(text),
      onBinary: () => told.push("binary"),
      onControl: () => told.push("control"),
      onOversize: () => told.push("oversize"),
      onClose: (code) => told.push(code)
    }
    socket.listen(new Socket(), listener)
    assert.isTrue(socket.emit("message", Buffer.from("hello"), false))
    assert.isTrue(socket.emit("message", Buffer.from("hello"), true))
    assert.isTrue(socket.emit("pong", Buffer.alloc(0)))
    assert.isTrue(socket.emit("error", new Error("cut")))
    assert.isTrue(socket.emit("close", 1006, Buffer.alloc(0)))
    assert.deepStrictEqual(told, ["hello", "binary", "control", 1006])
  })
})
