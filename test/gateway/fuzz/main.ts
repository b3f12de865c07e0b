/**
 * `npm run fuzz -- --frames 1000000 --seed 1` throws that many messages at sessions, each seed a device. It prints its
 * progress on stderr, ends with 0 when every session did what the protocol says, and else with 1 after it has printed the
 * seed and the fewest messages that break a rule.
 */
import { readNumber, readOptions } from "../../support/options.ts"

const help = `Throws valid, bent, cut, huge and senseless messages at sessions of a gateway.

  npm run fuzz -- [--frames 100000] [--seed 1]

  --frames  how many messages to send, 100,000 by default
  --seed    of the first device, 1 by default; the next ones follow from it
  --help    this text

It ends with 0 when each session was closed with the code that the protocol document names, or went on, when nothing
leaked and when a neighbour got all of its events; with 1 and the shortest sequence that breaks a rule; or with 2 when
the options are wrong.
`

const values = readOptions("fuzz", {
  frames: { type: "string", default: "100000" },
  seed: { type: "string", default: "1" },
  help: { type: "boolean", default: false }
})
if (values.help) {
  process.stdout.write(help)
} else {
  const wanted = readNumber("fuzz", "frames", values.frames, 1)
  const seed = readNumber("fuzz", "seed", values.seed, 0)
  // What it takes to run is loaded only by who runs it: help and a refusal are there at once.
  const { Effect } = await import("effect")
  const { describe, fuzz } = await import("./fuzz.ts")
  const started = performance.now()
  const seconds = () => (performance.now() - started) / 1000
  const count = (n: number) => n.toLocaleString("en")
  let shownAt = 0
  const { failure, messages, sequences } = await Effect.runPromise(fuzz({
    seed,
    messages: wanted,
    onProgress: (messages) => {
      if (seconds() - shownAt < 1) return
      shownAt = seconds()
      process.stderr.write(`${count(messages)} of ${count(wanted)} messages, ${shownAt.toFixed(0)} s\n`)
    }
  }))
  const rate = Math.round(messages / seconds())
  process.stdout.write(
    `${count(messages)} messages of ${count(sequences)} devices in ${seconds().toFixed(1)} s, ${count(rate)}/s\n`
  )
  if (failure === undefined) {
    process.stdout.write("Every session ended as the protocol says, or went on, and nothing was left.\n")
  } else {
    process.stdout.write(`\n${describe(failure)}\n`)
    process.exitCode = 1
  }
}
