/** Where a file may not be: a share is told by the number of its file system, or by its path. */
import { assert, describe, it } from "@effect/vitest"
import * as NetworkShare from "../../../src/broker/sqlite/worker/NetworkShare.ts"

describe("a network share", () => {
  it("is told on Linux by its number, which may be a negative one", () => {
    const on = (type: number) => NetworkShare.kindOf("/srv/events.db", "linux", () => type)
    assert.deepStrictEqual([0x6969, 0x517b, 0xfe534d42, 0xff534d42 | 0, 0x5346414f].map(on), [
      "NFS",
      "SMB",
      "SMB",
      "CIFS",
      "AFS"
    ])
    // ext4, tmpfs, overlay, btrfs.
    assert.deepStrictEqual([0xef53, 0x01021994, 0x794c7630, 0x9123683e].map(on), [
      undefined,
      undefined,
      undefined,
      undefined
    ])
  })

  it("is asked of the directory, since the file may not be there yet", () => {
    const asked: Array<string> = []
    NetworkShare.kindOf("/srv/app/events.db", "linux", (directory) => asked.push(directory))
    assert.deepStrictEqual(asked, ["/srv/app"])
  })

  it("is told on Windows by its path, and nowhere else", () => {
    const at = (file: string, platform: NodeJS.Platform) => NetworkShare.kindOf(file, platform, () => assert.fail())
    assert.strictEqual(at("\\\\server\\share\\events.db", "win32"), "SMB")
    assert.strictEqual(at("//server/share/events.db", "win32"), "SMB")
    for (const local of ["C:\\app\\events.db", "events.db", "\\\\?\\C:\\app\\events.db", "\\\\.\\C:\\events.db"]) {
      assert.isUndefined(at(local, "win32"), local)
    }
    assert.isUndefined(at("/net/events.db", "darwin"))
  })
})
