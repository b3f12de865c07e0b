/**
 * What scripts over a user's log are made of: Lua functions, each of which takes
 * all it needs as arguments. `functions` holds them, in the order in which they
 * use each other; a script is `make(its own functions, its body)`.
 *
 * All scripts go the same way, so that none leaves half of its work behind:
 *
 * 1. read, and decide all that is to be written. What fails here has written
 *    nothing;
 * 2. `writeOpened`, and a harmless form of each other command that will write:
 *    Redis refuses a command for want of rights, of memory or of a disk at the
 *    first write, whatever it writes;
 * 3. write. Nothing of it can fail any more.
 *
 * The keys of a log tell on each other. `meta` counts the blocks of the stream;
 * `sources`, `runs` and `active` have a field of their own (` `, which no name
 * is) that repeats a number of `meta`. Where they disagree (a key was evicted,
 * deleted, or comes from a backup) a script ends with `TORN`, the epoch and the
 * reason, before it writes; then `MendLua` begins the log anew.
 *
 * `ARGV` of each: the epoch to take if a new one is needed, the server's id, the
 * time to live, maxEvents, maxBytes and maxAge, times in milliseconds, then the
 * script's own from 7 on.
 *
 * @since 0.1.0
 */
import * as RedisScript from "./Script.ts"

/**
 * Lua functions that all scripts over a log use.
 *
 * @category scripts
 * @since 0.1.0
 */
export const basics = `
-- A number as text, without an exponent.
local function text(number) return string.format('%.0f', number) end

-- The server's time in milliseconds since the Unix epoch.
local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Ends the script: the keys of a log disagree. Only where nothing is written yet.
local function torn(epoch, why) error({ err = 'TORN ' .. epoch .. ' ' .. why }) end
`

const functions = `${basics}
-- The keys of a log by name.
local function keysOf(keys)
  return { log = keys[1], meta = keys[2], sources = keys[3], runs = keys[4], active = keys[5] }
end

-- The bounds of a log by name.
local function limitsOf(args)
  return {
    ttl = tonumber(args[3]), maxEvents = tonumber(args[4]), maxBytes = tonumber(args[5]), maxAge = tonumber(args[6])
  }
end

-- A new log, over whatever is left of one whose hash is gone. How runs stand outlives it.
local function newLog(keys, epoch, server)
  local stamp = redis.call('HGET', keys.active, ' ')
  return {
    epoch = epoch, server = server, isNew = true, first = 1, last = 0, bytes = 0, since = 0, checkpoint = 0, linger = 0,
    ack = 0, touched = 0, blocks = 0, folded = 0, stood = tonumber(stamp and string.match(stamp, '^%d+') or 0),
    hasRemains = redis.call('EXISTS', keys.log, keys.sources, keys.runs) > 0
  }
end

-- The log as its hash has it, or a new one. Nothing is written.
--
-- A log that began on another server process goes on under a new epoch, since its last events may be lost. A stream that
-- vanished by itself, evicted or expired, counts as dropped.
local function openLog(keys, newEpoch, server)
  local found = redis.call('HMGET', keys.meta, 'epoch', 'server', 'first', 'last', 'bytes', 'since', 'checkpoint', 'linger',
    'ack', 'touched', 'blocks', 'folded', 'stood')
  if not found[1] then return newLog(keys, newEpoch, server) end
  local log = {
    epoch = found[1], server = server, isNew = false, isMoved = found[2] ~= server, isVanished = false,
    first = tonumber(found[3]), last = tonumber(found[4]), bytes = tonumber(found[5]), since = tonumber(found[6]),
    checkpoint = tonumber(found[7]), linger = tonumber(found[8]), ack = tonumber(found[9]), touched = tonumber(found[10]),
    blocks = tonumber(found[11]), folded = tonumber(found[12]), stood = tonumber(found[13])
  }
  if not (log.first and log.last and log.bytes and log.since and log.checkpoint and log.linger and log.ack and log.touched
    and log.blocks and log.folded and log.stood) then torn(log.epoch, 'its hash lacks a number') end
  if log.first > log.last + 1 or log.checkpoint > log.last or log.ack > log.last then
    torn(log.epoch, 'its hash has numbers past its head')
  end
  local blocks = redis.call('XLEN', keys.log)
  if blocks == 0 and log.blocks > 0 then
    log.isVanished = true
    log.first, log.bytes, log.since, log.checkpoint, log.linger, log.blocks = log.last + 1, 0, 0, log.last, 0, 0
  elseif blocks ~= log.blocks then
    torn(log.epoch, 'its stream has ' .. blocks .. ' blocks of ' .. log.blocks)
  end
  if log.isMoved then log.epoch, log.ack = newEpoch, 0 end
  return log
end

-- Writes what opening found out, or the same as before: the first write of every script that writes, without effect on what
-- readers see of the log.
local function writeOpened(keys, log, ttl)
  if log.isNew then
    redis.call('HSET', keys.meta, 'epoch', log.epoch, 'server', log.server, 'first', 1, 'last', 0, 'bytes', 0, 'since', 0,
      'checkpoint', 0, 'linger', 0, 'ack', 0, 'touched', 0, 'blocks', 0, 'folded', 0, 'stood', text(log.stood))
    redis.call('PEXPIRE', keys.meta, ttl)
    if log.hasRemains then redis.call('DEL', keys.log, keys.sources, keys.runs) end
  elseif log.isVanished then
    redis.call('HSET', keys.meta, 'epoch', log.epoch, 'server', log.server, 'ack', text(log.ack), 'first', text(log.last + 1),
      'bytes', 0, 'since', 0, 'checkpoint', text(log.last), 'linger', 0, 'blocks', 0)
  else
    redis.call('HSET', keys.meta, 'epoch', log.epoch, 'server', log.server, 'ack', text(log.ack))
  end
end

-- A block of the stream by name.
local function toBlock(entry)
  local at, count, bytes = string.match(entry[2][2], '^(%d+) (%d+) (%d+)$')
  return {
    id = entry[1], first = tonumber(string.match(entry[1], '^%d+')), at = tonumber(at), count = tonumber(count),
    bytes = tonumber(bytes), sizes = entry[2][4], events = entry[2][6], entry = entry
  }
end

-- The block that an offset is in, of those to be added or of the stream; without it the keys disagree.
local function blockAt(keys, log, added, offset)
  for i = #added, 1, -1 do
    if added[i].first <= offset then return added[i] end
  end
  local entry = redis.call('XREVRANGE', keys.log, text(offset) .. '-0', '-', 'COUNT', 1)[1]
  local block = entry and toBlock(entry)
  if not block or offset >= block.first + block.count then
    torn(log.epoch, 'its stream has no offset ' .. text(offset))
  end
  return block
end

-- Whether more is served than the bounds allow.
local function isOver(log, limits, now)
  return log.last - log.first + 1 > limits.maxEvents or (log.bytes > limits.maxBytes and log.first < log.last)
    or (log.first <= log.last and log.since < now - limits.maxAge)
end

-- Drops for readers what is past the bounds, and tells whether something was. In the stream it stays until it is folded into
-- the runs' checkpoint, but not without bound. Nothing is written.
local function drop(keys, log, added, limits, now)
  local before = log.first
  while isOver(log, limits, now) do
    local block = blockAt(keys, log, added, log.first)
    log.since = block.at
    local offset = block.first
    for size in string.gmatch(block.sizes, '%d+') do
      if offset == log.first then
        if not isOver(log, limits, now) then break end
        log.bytes = log.bytes - tonumber(size)
        if log.first > log.checkpoint then log.linger = log.linger + tonumber(size) end
        log.first = log.first + 1
      end
      offset = offset + 1
    end
  end
  if log.first > log.last then log.bytes, log.since = 0, 0 end
  if log.linger > limits.maxBytes + 1048576
    or log.first - 1 - log.checkpoint > math.max(limits.maxEvents, 1024) then
    log.checkpoint, log.linger = log.first - 1, 0
  end
  return log.first > before
end

-- The id of the first block that is still needed, by readers or to be folded.
local function firstNeeded(keys, log, added)
  local offset = math.min(log.first, log.checkpoint + 1)
  return offset > log.last and text(log.last + 1) .. '-0' or blockAt(keys, log, added, offset).id
end

-- Removes the blocks before this one from the stream.
local function trim(keys, log, id)
  log.blocks = log.blocks - redis.call('XTRIM', keys.log, 'MINID', id)
end

-- The blocks that hold the offsets past one up to the head, or as many as are wanted; without a hole, or the keys disagree.
local function blocksPast(keys, log, after, wantedEvents, wantedBytes)
  local blocks = {}
  if after >= log.last or wantedEvents == 0 then return blocks end
  local events, size = 0, 0
  local chunk = { blockAt(keys, log, {}, after + 1).entry }
  local expected = nil
  while true do
    local block
    for _, entry in ipairs(chunk) do
      if events >= wantedEvents or size > wantedBytes then return blocks end
      block = toBlock(entry)
      if expected and block.first ~= expected then torn(log.epoch, 'its stream has a hole before ' .. block.id) end
      expected = block.first + block.count
      blocks[#blocks + 1] = entry
      if block.first > after then size = size + block.bytes end
      events = expected - 1 - after
    end
    if not block then torn(log.epoch, 'its stream ends before ' .. text(log.last)) end
    if expected > log.last + 1 then torn(log.epoch, 'its stream goes on past ' .. text(log.last)) end
    if expected > log.last or events >= wantedEvents or size > wantedBytes then return blocks end
    local more = math.min((wantedEvents - events) / block.count, (wantedBytes - size) / math.max(block.bytes, 1) + 1, 64)
    chunk = redis.call('XRANGE', keys.log, text(expected) .. '-0', '+', 'COUNT', math.max(1, math.ceil(more)))
  end
end
`

/**
 * A script over a log: its own functions, and what it does with them. What comes
 * `first` stands before all functions.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (own: string, body: string, first = ""): RedisScript.Script =>
  RedisScript.make(`${first}${functions}${own}
local keys, limits, now = keysOf(KEYS), limitsOf(ARGV), clock()
local log = openLog(keys, ARGV[1], ARGV[2])
${body}`)
