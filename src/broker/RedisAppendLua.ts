/**
 * Appends a batch in one step: takes each number of a source once, assigns
 * offsets, drops what is past the bounds, renews the time to live, and publishes
 * a wake-up.
 *
 * `ARGV` from 7 on: checkpointEvery, maxRanges, maxSpentSources, channel, how the
 * body of the batch's last event begins, then for each event its source, sequence, whether
 * it is of a run (1 or 0), bytes, header, body.
 * Gives the epoch, the offset of the batch's last event, whether a checkpoint is
 * due (1 or 0), and the log's last offset before.
 *
 * @since 0.1.0
 */
import { renewals } from "./RedisKeys.ts"
import { openLua } from "./RedisOpenLua.ts"
import * as RedisScript from "./RedisScript.ts"

/**
 * @category scripts
 * @since 0.1.0
 */
export const append = RedisScript.make(`${openLua}
local checkpointEvery, maxRanges, maxSpent = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local channel, lastBody = ARGV[10], ARGV[11]

local taken = {}
local function take(source, sequence)
  local known = taken[source]
  if not known then
    local saved = redis.call('HGET', sources, source)
    known = { ranges = {}, isNew = not saved, offset = 0 }
    if saved then
      for from, to in string.gmatch(saved, '(%d+)-(%d+)') do
        known.ranges[#known.ranges + 1] = { tonumber(from), tonumber(to) }
      end
    end
    taken[source] = known
  end
  local ranges = known.ranges
  local i = #ranges
  while i > 0 and ranges[i][1] > sequence do i = i - 1 end
  if i > 0 and sequence <= ranges[i][2] then return nil end
  local joinsBefore = i > 0 and ranges[i][2] + 1 == sequence
  local joinsAfter = ranges[i + 1] ~= nil and ranges[i + 1][1] == sequence + 1
  if joinsBefore and joinsAfter then
    ranges[i][2] = ranges[i + 1][2]
    table.remove(ranges, i + 1)
  elseif joinsBefore then
    ranges[i][2] = sequence
  elseif joinsAfter then
    ranges[i + 1][1] = sequence
  else
    table.insert(ranges, i + 1, { sequence, sequence })
    if #ranges > maxRanges then table.remove(ranges, 1) end
  end
  return known
end

local before, position = last, nil
for at = 12, #ARGV, 6 do
  local source = take(ARGV[at], tonumber(ARGV[at + 1]))
  position = nil
  if source then
    if first > last then since = now end
    if ARGV[at + 2] == '0' and checkpoint == last then checkpoint = last + 1 end
    last = last + 1
    bytes = bytes + tonumber(ARGV[at + 3])
    redis.call('XADD', log, text(last) .. '-0', 't', text(now), 'n', ARGV[at + 3], 'h', ARGV[at + 4], 'b', ARGV[at + 5])
    source.offset = last
    position = last
  end
end

drop()

local found = 0
for source, known in pairs(taken) do
  if known.offset > 0 then
    local ranges = {}
    for i, range in ipairs(known.ranges) do ranges[i] = text(range[1]) .. '-' .. text(range[2]) end
    redis.call('HSET', sources, source, text(known.offset) .. ';' .. table.concat(ranges, ','))
    if known.isNew then found = found + 1 end
  end
end
local count = found > 0 and redis.call('HLEN', sources) or 0
-- Looking through all of them is left to every 32nd that is new.
if found > 0 and math.floor(count / 32) > math.floor((count - found) / 32) then
  local all, spent = redis.call('HGETALL', sources), {}
  for i = 1, #all, 2 do
    local offset = tonumber(string.match(all[i + 1], '^%d+'))
    if offset < first then spent[#spent + 1] = { offset, all[i] } end
  end
  if #spent > maxSpent then
    table.sort(spent, function(a, b) return a[1] > b[1] end)
    for i = maxSpent + 1, #spent do redis.call('HDEL', sources, spent[i][2]) end
  end
end

if last > before then
  -- Renewing is most of the work of a small append, and the time to live leaves room to do it now and then.
  local isDue = before == 0 or vanished or now - touched > tonumber(ttl) / ${renewals}
  if isDue then touched = now end
  redis.call('HSET', meta, 'first', text(first), 'last', text(last), 'bytes', text(bytes), 'since', text(since),
    'checkpoint', text(checkpoint), 'linger', text(linger), 'touched', text(touched))
  if isDue then
    for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ttl) end
  end
  redis.call('PUBLISH', channel, 'e ' .. epoch .. ' ' .. text(last))
end

if not position then
  local at = last
  while at >= first and not position do
    local newest = redis.call('XREVRANGE', log, text(at) .. '-0', text(first) .. '-0', 'COUNT', 64)
    if #newest == 0 then break end
    for _, entry in ipairs(newest) do
      if string.sub(entry[2][8], 1, #lastBody) == lastBody then
        position = at
        break
      end
      at = at - 1
    end
  end
  position = position or first - 1
end

local due = last - checkpoint >= checkpointEvery or first - 1 > checkpoint
return { epoch, position, due and 1 or 0, before }
`)
