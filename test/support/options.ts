/**
 * Options of the programs that `npm run` starts. What is wrong with them is told in one line on stderr, and ends the
 * program with 2.
 */
import { parseArgs, type ParseArgsConfig } from "node:util"

/** Ends the program of this script. */
export const refuse = (script: string, problem: string): never => {
  process.stderr.write(`${problem} (npm run ${script} -- --help tells the options)\n`)
  return process.exit(2)
}

/** What the program of this script was told. An option that it does not know is refused, and so is a word. */
export const readOptions = <const T extends NonNullable<ParseArgsConfig["options"]>>(script: string, options: T) => {
  try {
    return parseArgs({ options }).values
  } catch (error) {
    return refuse(script, error instanceof Error ? error.message : String(error))
  }
}

/** The same for a script that takes words beside its options. */
export const readWords = <const T extends NonNullable<ParseArgsConfig["options"]>>(script: string, options: T) => {
  try {
    return parseArgs({ options, allowPositionals: true })
  } catch (error) {
    return refuse(script, error instanceof Error ? error.message : String(error))
  }
}

/** A number from `least`, a whole one unless `isWhole` is false; another text is refused. */
export const readNumber = (script: string, name: string, text: string, least: number, isWhole = true): number => {
  const value = Number(text)
  const fits = isWhole ? Number.isSafeInteger(value) : Number.isFinite(value)
  return fits && value >= least
    ? value
    : refuse(script, `--${name} must be a ${isWhole ? "whole " : ""}number from ${least}, not "${text}"`)
}
