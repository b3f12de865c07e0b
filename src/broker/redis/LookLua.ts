/**
 * Looks at a log: what lies past a position and, where there is a gap or it is
 * asked for, the runs at the checkpoint and the events since.
 *
 * `ARGV` from 7 on: the position's epoch and offset, maxEvents, maxBytes,
 * which runs are wanted in any case (`all`, `none`, or `=` and the id of one). Gives the epoch, the first and
 * last offset, the checkpoint, the gap's reason (or nothing) and its first
 * offset, the blocks that hold the events, the runs, and the blocks that hold
 * the events past the checkpoint.
 *
 * @since 0.1.0
 */
import { openLua } from "./OpenLua.ts"
import * as RedisScript from "./Script.ts"

/**
 * @category scripts
 * @since 0.1.0
 */
export const look = RedisScript.make(`${openLua}
local after, wantedEvents, wantedBytes = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
if isOver() and drop() then
  -- A server without memory may refuse this; then it is found again.
  redis.pcall('HSET', meta, 'first', text(first), 'bytes', text(bytes), 'since', text(since),
    'checkpoint', text(checkpoint), 'linger', text(linger))
end

local gap, from = '', 0
if wantedEvents > 0 then
  if ARGV[7] ~= epoch or after > last then
    gap, from, after = 'epoch', 1, first - 1
  elseif after + 1 < first then
    gap, from, after = 'retention', after + 1, first - 1
  end
end

-- Whole blocks, and at least what is wanted: who asked cuts it to size.
local blocks = {}
local events, size = 0, 0
local chunk = after < last and wantedEvents > 0 and { blockOf(after + 1) } or {}
while #chunk > 0 do
  local upTo, count, bytes
  for _, block in ipairs(chunk) do
    if events >= wantedEvents or size > wantedBytes then break end
    blocks[#blocks + 1] = block
    count, bytes = string.match(block[2][2], '^%d+ (%d+) (%d+)$')
    count, bytes = tonumber(count), tonumber(bytes)
    upTo = firstOf(block) + count - 1
    if firstOf(block) > after then size = size + bytes end
    events = upTo - after
  end
  if upTo >= last or events >= wantedEvents or size > wantedBytes then break end
  local more = math.min((wantedEvents - events) / count, (wantedBytes - size) / bytes + 1, 64)
  chunk = redis.call('XRANGE', log, text(upTo + 1) .. '-0', '+', 'COUNT', math.max(1, math.ceil(more)))
end

local states, tail = {}, {}
local one = string.match(ARGV[11], '^=(.*)$')
if gap ~= '' or ARGV[11] ~= 'none' then
  if one then
    local state = redis.call('HGET', runs, one)
    if state then states = { one, state } end
  else
    states = redis.call('HGETALL', runs)
  end
  local from = checkpoint < last and blockOf(checkpoint + 1)
  if from then tail = redis.call('XRANGE', log, from[1], '+') end
end
return { epoch, first, last, checkpoint, gap, from, blocks, states, tail }
`)
