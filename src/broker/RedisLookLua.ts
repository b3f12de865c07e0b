/**
 * Looks at a log: what lies past a position and, where there is a gap or it is
 * asked for, the runs at the checkpoint and the events since.
 *
 * `ARGV` from 7 on: the position's epoch and offset, maxEvents, maxBytes,
 * whether runs are wanted in any case (1 or 0). Gives the epoch, the first and
 * last offset, the checkpoint, the gap's reason (or nothing) and its first
 * offset, the entries, the runs, and the entries past the checkpoint.
 *
 * @since 0.1.0
 */
import { openLua } from "./RedisOpenLua.ts"
import * as RedisScript from "./RedisScript.ts"

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

local entries = {}
local size = 0
local isFull = false
while not isFull and after < last and #entries < wantedEvents do
  local count = math.min(64, wantedEvents - #entries)
  local chunk = redis.call('XRANGE', log, text(after + 1) .. '-0', text(last) .. '-0', 'COUNT', count)
  if #chunk == 0 then break end
  for _, entry in ipairs(chunk) do
    size = size + tonumber(entry[2][4])
    if #entries > 0 and size > wantedBytes then
      isFull = true
      break
    end
    entries[#entries + 1] = entry
    after = after + 1
  end
end

local states, tail = {}, {}
if gap ~= '' or ARGV[11] == '1' then
  states = redis.call('HGETALL', runs)
  if checkpoint < last then
    tail = redis.call('XRANGE', log, text(checkpoint + 1) .. '-0', text(last) .. '-0')
  end
end
return { epoch, first, last, checkpoint, gap, from, entries, states, tail }
`)
