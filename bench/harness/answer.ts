/**
 * The process that answers the question named on its command line.
 */
import { questions } from "../questions.ts"
import type { Told } from "./isolate.ts"

const [name = "", quick] = process.argv.slice(2)

const tell = (told: Told) => new Promise<void>((resolve) => process.send?.(told, undefined, undefined, () => resolve()))

const answer = async (): Promise<Told> => {
  try {
    const load = questions.get(name)
    if (load === undefined) throw new Error(`there is no question ${JSON.stringify(name)}`)
    const { question } = await load()
    const settings = {
      quick: quick === "--quick",
      progress: (text: string) => void process.send?.({ kind: "progress", text } satisfies Told)
    }
    return { kind: "answer", answer: await question.answer(settings) }
  } catch (error) {
    return { kind: "problem", text: error instanceof Error ? error.stack ?? error.message : String(error) }
  }
}

// An orderly exit, so that what was started goes too.
process.on("disconnect", () => process.exit(1))
process.on("SIGTERM", () => process.exit(1))
process.on("SIGINT", () => process.exit(1))
await tell(await answer())
process.exit()
