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
 * What is known of a log is read from one text, and written to it whole, by
 * `saveLog` alone (see `LogState`): so whoever wrote last, the next finds all of it.
 *
 * The keys of a log tell on each other. Its state counts the blocks of the stream;
 * `sources` and `runs` have a field of their own (` `, which no name is) that
 * repeats a number of the state. Where they disagree (a key was evicted, deleted, or
 * comes from a backup) a script ends with `TORN`, the epoch and the reason, before it
 * writes; then `MendLua` begins the log anew.
 *
 * `ARGV` of each: the epoch to take if a new one is needed; the server's id, the time
 * to live, maxEvents, maxBytes and maxAge as one text with spaces between, times in
 * milliseconds; then the script's own from 3 on.
 *
 * @since 0.1.0
 */
import { renewals } from "../codec/Keys.ts"
import { logStateLua } from "./LogStateLua.ts"
import * as RedisScript from "./Script.ts"

// The share of its bounds that a log may grow past them, and the most events of it: all of them are dropped in one step.
const leeway = 16
const maxLeewayEvents = 256

/**
 * Lua functions that all scripts over a log use.
 *
 * @category scripts
 * @since 0.1.0
 */
export const basics = `
-- A number as text, without an exponent.
local function text(number) return string.format('%d', number) end

-- The server's time in milliseconds since the Unix epoch.
local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Ends the script: the keys of a log disagree. Only where nothing is written yet.
local function torn(epoch, why) error({ err = 'TORN ' .. epoch .. ' ' .. why }) end
${logStateLua}`

const functions = `${basics}
-- The keys of a log by name.
local function keysOf(keys)
  return { log = keys[1], meta = keys[2], sources = keys[3], runs = keys[4] }
end

-- The bounds of a log by name, how they are written, and the server's id.
local function limitsOf(args)
  local server, written, ttl, maxEvents, maxBytes, maxAge = string.match(args[2], '^(%S+) ((%d+) (%d+) (%d+) (%d+))$')
  return {
    server = server, written = written, ttl = tonumber(ttl), maxEvents = tonumber(maxEvents), maxBytes = tonumber(maxBytes),
    maxAge = tonumber(maxAge)
  }
end

-- A new log, over whatever is left of one whose state is gone.
local function newLog(keys, epoch, server)
  local log = emptyLog(epoch, server)
  log.isNew, log.hasRemains = true, redis.call('EXISTS', keys.log, keys.meta, keys.sources, keys.runs) > 0
  log.opened = stateOf(log)
  return log
end

-- The log as its state has it, or a new one; 'opened' is what its state is to be before anything else. Nothing is written.
--
-- A log that began on another server process goes on under a new epoch, since its last events may be lost. A stream that
-- vanished by itself, evicted or expired, counts as dropped.
local function openLog(keys, newEpoch, server)
  local found = redis.call('HMGET', keys.meta, ' ', ' ack')
  if not found[1] then return newLog(keys, newEpoch, server) end
  local log = readState(found[1])
  if not log then torn(noEpoch, 'its state cannot be read') end
  log.isNew, log.isMoved, log.isVanished, log.ack = false, log.server ~= server, false, tonumber(found[2] or 0)
  if log.first > log.last + 1 or log.checkpoint > log.last or not log.ack or log.ack > log.last then
    torn(log.epoch, 'its hash has numbers past its head')
  end
  local blocks = redis.call('XLEN', keys.log)
  if blocks == 0 and log.blocks > 0 then
    log.isVanished = true
    log.first, log.bytes, log.since, log.checkpoint, log.linger, log.blocks = log.last + 1, 0, 0, log.last, 0, 0
    log.till = 0
  elseif blocks ~= log.blocks then
    torn(log.epoch, 'its stream has ' .. blocks .. ' blocks of ' .. log.blocks)
  end
  if log.isMoved then log.epoch, log.server, log.ack = newEpoch, server, 0 end
  log.opened = (log.isMoved or log.isVanished) and stateOf(log) or found[1]
  return log
end

-- Writes what opening found out, or the same as before: the first write of every script that writes, without effect on what
-- readers see of the log.
local function writeOpened(keys, log, ttl)
  redis.call('HSET', keys.meta, ' ', log.opened, ' ack', text(log.ack))
  if log.hasRemains then
    redis.call('DEL', keys.log, keys.meta, keys.sources, keys.runs)
    redis.call('HSET', keys.meta, ' ', log.opened, ' ack', 0)
  end
  if log.isNew then redis.call('PEXPIRE', keys.meta, ttl) end
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

-- Writes what is known of the log, and how far it may grow before somebody looks at its bounds: what is over is then dropped in
-- one step.
local function saveLog(keys, log, limits)
  log.limits = limits.written
  log.mostLast = log.first - 1 + limits.maxEvents + math.min(math.floor(limits.maxEvents / ${leeway}), ${maxLeewayEvents})
  log.mostBytes = limits.maxBytes + math.floor(limits.maxBytes / ${leeway})
  log.till = log.first > log.last and 0
    or math.min(log.since + limits.maxAge + math.floor(limits.maxAge / ${leeway}), log.touched + limits.ttl / ${renewals})
  redis.call('HSET', keys.meta, ' ', stateOf(log))
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
local log = openLog(keys, ARGV[1], limits.server)
${body}`)
