/**
 * Says on stderr what is going on, and for how long already: one line that changes on a terminal, one line for each
 * question elsewhere.
 */
import type { Outcome } from "./isolate.ts"

export class Progress {
  private readonly total: number
  private readonly terminal = process.stderr.isTTY === true
  private readonly started = performance.now()
  private count = 0
  private name = ""

  constructor(total: number) {
    this.total = total
  }

  begin(name: string): void {
    this.count++
    this.name = name
    if (!this.terminal) process.stderr.write(`${this.title()} …\n`)
  }

  update(text: string): void {
    if (this.terminal) {
      process.stderr.write(`\r\x1b[2K${this.title()}: ${text}`.slice(0, (process.stderr.columns ?? 80) + 5))
    }
  }

  end({ answer, seconds }: Outcome): void {
    const text = `${this.title()}: ${answer === undefined ? "FAILED" : "done"} after ${seconds.toFixed(1)} s`
    process.stderr.write(this.terminal ? `\r\x1b[2K${text}\n` : `${text}\n`)
  }

  private title(): string {
    const minutes = (performance.now() - this.started) / 60_000
    return `[${this.count}/${this.total}, ${minutes.toFixed(1)} min] ${this.name}`
  }
}
