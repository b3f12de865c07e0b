/**
 * Tells a person how far the tests are, and at the end what was left out and how to get it.
 *
 * On a terminal one line is written over again; elsewhere a line is added for each twentieth of the files, so that a log
 * stays short. A file with a failed test is told whole, at once; so is each file where there are few, or with `VERBOSE=1`.
 */
import { DefaultReporter, type TestModule } from "vitest/node"
import { leftOut } from "./leftOut.ts"

const clock = (ms: number): string => {
  const seconds = Math.round(ms / 1_000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`
}

/** So many files a person started to look at them. */
const few = 5

export class ProgressReporter extends DefaultReporter {
  constructor() {
    super({ summary: false })
  }

  private readonly began = performance.now()
  private files = 0
  private done = 0
  private tests = 0
  private failed = 0
  private told = 0

  override onTestRunStart(specifications: Parameters<DefaultReporter["onTestRunStart"]>[0]): void {
    super.onTestRunStart(specifications)
    this.files = specifications.length
  }

  override printTestModule(testModule: TestModule): void {
    const results = Array.from(testModule.children.allTests(), (test) => test.result().state)
    this.done += 1
    this.tests += results.filter((state) => state === "passed" || state === "failed").length
    this.failed += results.filter((state) => state === "failed").length
    if (testModule.state() === "failed" || this.files <= few || process.env["VERBOSE"] !== undefined) {
      this.clear()
      super.printTestModule(testModule)
    }
    this.progress()
  }

  override onTestRunEnd(...[modules, errors, reason]: Parameters<DefaultReporter["onTestRunEnd"]>): void {
    this.clear()
    super.onTestRunEnd(modules, errors, reason)
    // What a test that passed has to say all the same.
    for (const module of modules) {
      for (const test of module.children.allTests("passed")) {
        for (const { message } of test.annotations()) this.log(message)
      }
    }
    // What a name on the command line left out was meant to be.
    if (this.ctx.config.testNamePattern !== undefined) return
    const told = modules.flatMap((module) =>
      Array.from(module.children.allTests(), (test) => ({
        file: module.relativeModuleId,
        tags: test.tags,
        isSkipped: test.result().state === "skipped"
      }))
    )
    for (const line of leftOut(told, { isStorm: process.env["STORMS"] !== undefined })) this.log(line)
  }

  private clear(): void {
    if (this.isTTY) this.ctx.logger.outputStream.write("\r\u001B[2K")
  }

  private progress(): void {
    const failed = this.failed === 0 ? "" : `, ${this.failed} failed`
    const line = `${this.done} of ${this.files} files, ${this.tests} tests${failed}, ${
      clock(performance.now() - this.began)
    }`
    if (this.isTTY) {
      this.clear()
      this.ctx.logger.outputStream.write(line)
      return
    }
    const twentieths = Math.floor(20 * this.done / this.files)
    if (twentieths > this.told) this.log(line)
    this.told = twentieths
  }
}
