/**
 * Looks at a log: what lies past a position and, where there is a gap or it is
 * asked for, the runs at the checkpoint and the events since.
 *
 * `ARGV` from 3 on: the position's epoch and offset, maxEvents, maxBytes,
 * which runs are wanted in any case (`all`, `none`, or `=` and the id of one).
 * Gives the epoch, the first and last offset, the checkpoint, the gap's reason
 * (or nothing) and its first offset, the blocks that hold the events, the runs,
 * and the blocks that hold the events past the checkpoint.
 *
 * @since 0.1.0
 */
import * as LogLua from "./LogLua.ts"

const functions = `
-- The gap between a position and what is served: its reason, or nothing, its first offset, and from where on to give.
local function gapAfter(log, epoch, offset)
  if epoch ~= log.epoch or offset > log.last then return 'epoch', 1, log.first - 1 end
  if offset + 1 < log.first then return 'retention', offset + 1, log.first - 1 end
  return '', 0, offset
end

-- The runs as they were folded at the checkpoint, names and states by turns.
local function foldedRuns(keys, log)
  local all, states, stamp = redis.call('HGETALL', keys.runs), {}, '0;0'
  for i = 1, #all, 2 do
    if all[i] == ' ' then
      stamp = all[i + 1]
    else
      states[#states + 1] = all[i]
      states[#states + 1] = all[i + 1]
    end
  end
  if stamp ~= text(log.folded) .. ';' .. text(#states / 2) then torn(log.epoch, 'its runs are of another time') end
  return states
end

-- One of them alone.
local function foldedRun(keys, log, name)
  local found = redis.call('HMGET', keys.runs, ' ', name)
  if string.match(found[1] or '0', '^%d+') ~= text(log.folded) then torn(log.epoch, 'its runs are of another time') end
  return found[2] and { name, found[2] } or {}
end

-- Writes down what was dropped here. A server without memory or rights may refuse this; then it is found again.
local function tryToSaveDrop(keys, log, needed, limits)
  if not pcall(saveLog, keys, log, limits) then return end
  local removed = redis.pcall('XTRIM', keys.log, 'MINID', needed)
  if type(removed) ~= 'number' then return end
  log.blocks = log.blocks - removed
  saveLog(keys, log, limits)
end
`

/**
 * The script that looks at a log.
 *
 * @category scripts
 * @since 0.1.0
 */
export const view = LogLua.make(
  functions,
  `
local wantedEvents, wantedBytes, wantedRuns = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local isDropped = drop(keys, log, {}, limits, now)
local needed = isDropped and firstNeeded(keys, log, {})
local gap, from, after = '', 0, log.last
if wantedEvents > 0 then gap, from, after = gapAfter(log, ARGV[3], tonumber(ARGV[4])) end
-- Whole blocks, and at least what is wanted: who asked cuts it to size.
local blocks = blocksPast(keys, log, after, wantedEvents, wantedBytes)
local states, tail = {}, {}
if (gap ~= '' or wantedRuns ~= 'none') and not log.isNew then
  local one = string.match(wantedRuns, '^=(.*)$')
  if one then states = foldedRun(keys, log, one) else states = foldedRuns(keys, log) end
  tail = blocksPast(keys, log, log.checkpoint, math.huge, math.huge)
end

if log.isNew or log.isMoved or log.isVanished then
  -- Redis refuses what may need memory unless the script has written something before.
  redis.call('PEXPIRE', keys.meta, limits.ttl)
  writeOpened(keys, log, limits.ttl)
end
if isDropped then tryToSaveDrop(keys, log, needed, limits) end
return { log.epoch, log.first, log.last, log.checkpoint, gap, from, blocks, states, tail }
`
)
