/**
 * Appends a batch in one step: takes each number of a source once, assigns
 * offsets, notes which runs are active, drops what is past the bounds, renews the
 * time to live, and publishes the events, or a mere wake-up where they are many.
 *
 * `ARGV` from 7 on: checkpointEvery, maxRanges, maxSpentSources, channel, how the
 * body of the batch's last event begins, the lease and the runs (see
 * `StandingLua.toArguments`), then the blocks (see `Block.toArguments`).
 * Gives the epoch, the offset of the batch's last event, whether a checkpoint is
 * due (1 or 0), the log's last offset before, and what the runs' standing tells; or
 * `!` and the runs that were ended as lost.
 *
 * @since 0.1.0
 */
import { renewals } from "./Keys.ts"
import { openToAddLua } from "./OpenLua.ts"
import * as RedisScript from "./Script.ts"
import { admitLua, standLua } from "./StandingLua.ts"

// A subscriber that is too slow is disconnected by Redis once 32 MiB wait for it: what is larger is left for it to ask for.
const maxPublished = 64 * 1024

/**
 * @category scripts
 * @since 0.1.0
 */
export const append = RedisScript.make(`${openToAddLua}
local checkpointEvery, maxRanges, maxSpent = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local channel, lastBody = ARGV[10], ARGV[11]

local taken = {}
local function rangesOf(source)
  local known = taken[source]
  if known then return known end
  local saved = redis.call('HGET', sources, source)
  known = { ranges = {}, isNew = not saved, offset = 0 }
  if saved then
    for from, to in string.gmatch(saved, '(%d+)-(%d+)') do
      known.ranges[#known.ranges + 1] = { tonumber(from), tonumber(to) }
    end
  end
  taken[source] = known
  return known
end

-- Takes the numbers from one to another, unless one of them was taken.
local function take(ranges, from, to)
  local i = #ranges
  while i > 0 and ranges[i][1] > from do i = i - 1 end
  local below, above = ranges[i], ranges[i + 1]
  if below and from <= below[2] or above and to >= above[1] then return false end
  local joinsBelow = below and below[2] + 1 == from
  local joinsAbove = above and above[1] == to + 1
  if joinsBelow and joinsAbove then
    below[2] = above[2]
    table.remove(ranges, i + 1)
  elseif joinsBelow then
    below[2] = to
  elseif joinsAbove then
    above[1] = from
  else
    table.insert(ranges, i + 1, { from, to })
    if #ranges > maxRanges then table.remove(ranges, 1) end
  end
  return true
end

local firstRun = 12
${admitLua}
local before, isLastNew, isAllNew = last, true, true
local published, publishedBytes = {}, 0

local function add(count, size, leading, sizes, events)
  if first > last then since = now end
  if checkpoint == last then checkpoint = last + leading end
  redis.call('XADD', log, text(last + 1) .. '-0', 'm', text(now) .. ' ' .. text(count) .. ' ' .. text(size), 'n', sizes,
    'e', events)
  last = last + count
  bytes = bytes + size
  published[#published + 1] = events
  publishedBytes = publishedBytes + #events
end

-- Adds what is left of a block of which some events are known.
local function addPart(refused, sizes, events)
  local count, size, leading, keptSizes, kept = 0, 0, 0, {}, {}
  local nextLine = string.gmatch(events, '[^\\n]+')
  local at = 0
  for number, run in string.gmatch(sizes, '(%d+)(r?)') do
    at = at + 1
    local header, body = nextLine(), nextLine()
    if not refused[at] then
      if run == '' and leading == count then leading = leading + 1 end
      count = count + 1
      size = size + tonumber(number)
      keptSizes[count] = number .. run
      kept[count] = header .. '\\n' .. body
    end
  end
  if count > 0 then add(count, size, leading, table.concat(keptSizes, ' '), table.concat(kept, '\\n')) end
end

local at = firstBlock
while at <= #ARGV do
  local refused, isWhole, index, accepted = {}, true, 0, 0
  local stretches = at + 6 + 3 * tonumber(ARGV[at])
  for stretch = at + 6, stretches - 1, 3 do
    local known = rangesOf(ARGV[stretch])
    local from, count = tonumber(ARGV[stretch + 1]), tonumber(ARGV[stretch + 2])
    isLastNew = take(known.ranges, from, from + count - 1)
    if isLastNew then
      accepted = accepted + count
      known.offset = last + accepted
    else
      isWhole = false
      for number = from, from + count - 1 do
        isLastNew = take(known.ranges, number, number)
        if isLastNew then
          accepted = accepted + 1
          known.offset = last + accepted
        else
          refused[index + number - from + 1] = true
        end
      end
    end
    index = index + count
  end
  if isWhole then
    add(tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4], ARGV[at + 5])
  else
    isAllNew = false
    addPart(refused, ARGV[at + 4], ARGV[at + 5])
  end
  at = stretches
end
local position = isLastNew and last or nil

drop()
${standLua}
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
  local message = 'e ' .. epoch .. ' ' .. text(before + 1) .. ' ' .. text(last)
  if publishedBytes <= ${maxPublished} then message = message .. '\\n' .. table.concat(published, '\\n') end
  redis.call('PUBLISH', channel, message)
end

if not position then
  local upTo = last
  while upTo >= first and not position do
    local block = blockOf(upTo)
    if not block then break end
    local offset = firstOf(block)
    upTo = offset - 1
    if string.find(block[2][6], '\\n' .. lastBody, 1, true) then
      local isBody = false
      for line in string.gmatch(block[2][6], '[^\\n]+') do
        if isBody and string.sub(line, 1, #lastBody) == lastBody then position = offset end
        if isBody then offset = offset + 1 end
        isBody = not isBody
      end
    end
  end
  if not position or position < first then position = first - 1 end
end

local due = last - checkpoint >= checkpointEvery or first - 1 > checkpoint
return { epoch, position, due and 1 or 0, before, left }
`)
