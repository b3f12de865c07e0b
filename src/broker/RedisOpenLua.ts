/**
 * How every script begins: it opens the log, and makes a new one if there is
 * none.
 *
 * A log that began on another server process goes on under a new epoch, since
 * its last events may be lost. A stream that vanished by itself, evicted or
 * expired, counts as dropped.
 *
 * `ARGV`: the epoch to take if a new one is needed, the server's id, the time
 * to live in milliseconds, then the script's own from 4 on.
 *
 * @since 0.1.0
 */
export const openLua = `
local log, meta, sources, runs = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ttl = ARGV[3]
local function text(number) return string.format('%.0f', number) end

local found = redis.call('HMGET', meta, 'epoch', 'server', 'first', 'last', 'bytes', 'since', 'checkpoint', 'linger', 'ack')
local epoch = found[1]
local first, last = tonumber(found[3] or 1), tonumber(found[4] or 0)
local bytes, since = tonumber(found[5] or 0), tonumber(found[6] or 0)
local checkpoint, linger = tonumber(found[7] or 0), tonumber(found[8] or 0)
local ack = tonumber(found[9] or 0)

if not epoch then
  epoch = ARGV[1]
  redis.call('DEL', log, sources, runs)
  redis.call('HSET', meta, 'epoch', epoch, 'server', ARGV[2], 'first', 1, 'last', 0, 'bytes', 0, 'since', 0,
    'checkpoint', 0, 'linger', 0, 'ack', 0)
  redis.call('PEXPIRE', meta, ttl)
elseif found[2] ~= ARGV[2] then
  epoch = ARGV[1]
  ack = 0
  redis.call('HSET', meta, 'epoch', epoch, 'server', ARGV[2], 'ack', 0)
end
if first <= last and redis.call('EXISTS', log) == 0 then
  first, bytes, since, checkpoint, linger = last + 1, 0, 0, last, 0
  redis.call('HSET', meta, 'first', text(first), 'bytes', 0, 'since', 0, 'checkpoint', text(checkpoint), 'linger', 0)
end
`
