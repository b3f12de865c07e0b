/**
 * Reads and writes what is known of a log (see `LogState`) in scripts.
 *
 * @since 0.2.0
 */
import * as LogState from "../codec/LogState.ts"

const numberPattern = LogState.numbers.map(() => "(%d+)").join(" ")
const numberFormat = LogState.numbers.map(() => "%d").join(" ")
const fields = [
  ...LogState.numbers.map((name) => `${name} = tonumber(${name})`),
  ...LogState.texts.map((name) => `${name} = ${name}`)
]

/**
 * Lua functions between the text and a table of what it tells.
 *
 * @category scripts
 * @since 0.2.0
 */
export const logStateLua = `
-- What a state tells, by name; nothing where it cannot be read.
local function readState(saved)
  local ${[...LogState.numbers, ...LogState.texts].join(", ")} =
    string.match(saved, '^${numberPattern} (%S+) (%d+ %d+ %d+ %d+) (%S+) (%S*) (.*)$')
  return last and { ${fields.join(", ")} }
end

-- The state that tells of a log. A source may have any characters in it, so it is not formatted.
local function stateOf(log)
  return string.format('${numberFormat} ', ${LogState.numbers.map((name) => `log.${name}`).join(", ")})
    .. log.server .. ' ' .. log.limits .. ' ' .. log.epoch .. ' ' .. log.taken .. ' ' .. log.source
end

-- A log that has nothing yet.
local function emptyLog(epoch, server)
  return {
    ${LogState.numbers.map((name) => `${name} = ${name === "first" ? 1 : 0}`).join(", ")},
    server = server, limits = '0 0 0 0', epoch = epoch, taken = '', source = '', ack = 0
  }
end

-- The epoch of a log whose state cannot be read, which none ever has.
local noEpoch = '?'
`
