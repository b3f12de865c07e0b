/**
 * How every script begins: it opens the log, and makes a new one if there is
 * none.
 *
 * A log that began on another server process goes on under a new epoch, since
 * its last events may be lost. A stream that vanished by itself, evicted or
 * expired, counts as dropped.
 *
 * `drop` drops for readers what is past the bounds. In the stream it stays until
 * it is folded into the runs' checkpoint, but not without bound.
 *
 * `ARGV`: the epoch to take if a new one is needed, the server's id, the time
 * to live, maxEvents, maxBytes and maxAge, times in milliseconds, then the
 * script's own from 7 on.
 *
 * @since 0.1.0
 */
const open = (write: string) => `
local log, meta, sources, runs = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ttl = ARGV[3]
local maxEvents, maxBytes, maxAge = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function text(number) return string.format('%.0f', number) end

local found = redis.call('HMGET', meta, 'epoch', 'server', 'first', 'last', 'bytes', 'since', 'checkpoint', 'linger', 'ack', 'touched')
local epoch = found[1]
local first, last = tonumber(found[3] or 1), tonumber(found[4] or 0)
local bytes, since = tonumber(found[5] or 0), tonumber(found[6] or 0)
local checkpoint, linger = tonumber(found[7] or 0), tonumber(found[8] or 0)
local ack, touched = tonumber(found[9] or 0), tonumber(found[10] or 0)
local vanished = false

if not epoch then
  epoch = ARGV[1]
${write}
  redis.call('PEXPIRE', meta, ttl)
elseif found[2] ~= ARGV[2] then
  epoch = ARGV[1]
  ack = 0
  redis.call('HSET', meta, 'epoch', epoch, 'server', ARGV[2], 'ack', 0)
end
if first <= last and redis.call('EXISTS', log) == 0 then
  vanished = true
  first, bytes, since, checkpoint, linger = last + 1, 0, 0, last, 0
  redis.call('HSET', meta, 'first', text(first), 'bytes', 0, 'since', 0, 'checkpoint', text(checkpoint), 'linger', 0)
end

local function isOver()
  return last - first + 1 > maxEvents or (bytes > maxBytes and first < last) or (first <= last and since < now - maxAge)
end

-- The block that an offset is in, or was: also one that begins at it.
local function blockOf(offset)
  return redis.call('XREVRANGE', log, text(offset) .. '-0', '-', 'COUNT', 1)[1]
end

local function firstOf(block)
  return tonumber(string.match(block[1], '^%d+'))
end

local function trim()
  local block = blockOf(math.min(first, checkpoint + 1))
  if first > last and checkpoint >= last then
    redis.call('XTRIM', log, 'MINID', text(last + 1) .. '-0')
  elseif block then
    redis.call('XTRIM', log, 'MINID', block[1])
  end
end

local function drop()
  local before = first
  while isOver() do
    local block = blockOf(first)
    local offset, atStart = block and firstOf(block), first
    if block then
      since = tonumber(string.match(block[2][2], '^%d+'))
      for size in string.gmatch(block[2][4], '%d+') do
        if offset == first then
          if not isOver() then break end
          bytes = bytes - tonumber(size)
          if first > checkpoint then linger = linger + tonumber(size) end
          first = first + 1
        end
        offset = offset + 1
      end
    end
    if first == atStart then
      if isOver() then first, bytes, since = last + 1, 0, 0 end
      break
    end
  end
  if first > last then bytes, since = 0, 0 end
  if linger > maxBytes + 1048576 or first - 1 - checkpoint > math.max(maxEvents, 1024) then
    checkpoint, linger = first - 1, 0
  end
  if first > before then trim() end
  return first > before
end
`

const forget = `  redis.call('DEL', log, sources, runs)`
const create =
  `  redis.call('HSET', meta, 'epoch', epoch, 'server', ARGV[2], 'first', 1, 'last', 0, 'bytes', 0, 'since', 0,
    'checkpoint', 0, 'linger', 0, 'ack', 0)`

/**
 * For scripts that add no events: they open a log also when Redis has no memory
 * left.
 *
 * @category scripts
 * @since 0.1.0
 */
export const openLua = open(`${forget}\n${create}`)

/**
 * For scripts that add events. Redis refuses what may need memory, unless the
 * script has written something before: so nothing may come before that.
 *
 * @category scripts
 * @since 0.1.0
 */
export const openToAddLua = open(`${create}\n${forget}`)
