/**
 * Saves the runs' state as folded up to an offset, unless another process was
 * faster, and drops what was kept only to be folded.
 *
 * The hash `runs` has a field of its own, ` `, of the offset up to which it was
 * folded and the number of runs, `offset;count`.
 *
 * `ARGV` from 3 on: the epoch and the checkpoint that the fold went on from, the
 * new checkpoint, the number of runs to forget, these, then runs and states by
 * turns. Gives 1 if it was saved.
 *
 * @since 0.1.0
 */
import * as LogLua from "./LogLua.ts"

const functions = `
-- The fields to set for the folded runs, names and states by turns, and the names of those to forget.
local function readFold(args, at)
  local forgotten, fields = {}, {}
  local first = at + 1 + tonumber(args[at])
  for i = at + 1, first - 1 do forgotten[#forgotten + 1] = args[i] end
  for i = first, #args do fields[#fields + 1] = args[i] end
  return fields, forgotten
end

-- How many runs there will be. Those that are there must be of the same time as the log.
local function countAfter(keys, log, fields, forgotten)
  local names = {}
  for i = 1, #fields, 2 do names[#names + 1] = fields[i] end
  local found = redis.call('HMGET', keys.runs, ' ', unpack(names))
  local at, count = string.match(found[1] or '0;0', '^(%d+);(%d+)$')
  if at ~= text(log.folded) then torn(log.epoch, 'its runs are of another time') end
  count = tonumber(count) - #forgotten
  for i = 1, #names do
    if not found[i + 1] then count = count + 1 end
  end
  return count
end
`

/**
 * The script that saves the state of a log's runs.
 *
 * @category scripts
 * @since 0.1.0
 */
export const checkpoint = LogLua.make(
  functions,
  `
if log.isNew or log.isVanished or ARGV[3] ~= log.epoch or tonumber(ARGV[4]) ~= log.checkpoint then return 0 end
local fields, forgotten = readFold(ARGV, 6)
local count = countAfter(keys, log, fields, forgotten)
log.checkpoint, log.linger, log.folded = tonumber(ARGV[5]), 0, tonumber(ARGV[5])
local needed = firstNeeded(keys, log, {})
local left = redis.call('PTTL', keys.meta)
if left < 0 then left = limits.ttl end
fields[#fields + 1] = ' '
fields[#fields + 1] = text(log.folded) .. ';' .. text(count)

writeOpened(keys, log, limits.ttl)
redis.call('PEXPIRE', keys.meta, left)
redis.call('XTRIM', keys.log, 'MINID', '0')
redis.call('HDEL', keys.runs, '\\n', unpack(forgotten))
redis.call('HSET', keys.runs, unpack(fields))
redis.call('PEXPIRE', keys.runs, left)
trim(keys, log, needed)
saveLog(keys, log, limits)
return 1
`
)
