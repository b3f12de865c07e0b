/**
 * Who reads a user's log, and what has been handled of it.
 *
 * @since 0.1.0
 */
import { basics } from "./LogLua.ts"
import * as RedisScript from "./Script.ts"

const nowLua = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
`

// For how many milliseconds yet the user's events are late at most, or 0.
const lateLua = `
local function lateMs(late)
  local left = 0
  local all = redis.call('HGETALL', late)
  for i = 2, #all, 2 do left = math.max(left, tonumber(all[i]) - now) end
  return string.format('%.0f', left)
end
`

/**
 * Notes that an emitter holds events of the user, or none any more, and tells it to
 * those who read. `KEYS`: late. `ARGV`: the emitter, for how long at most in
 * milliseconds, or 0, the channel.
 *
 * @category scripts
 * @since 0.1.0
 */
export const late = RedisScript.make(`${nowLua}${lateLua}
if ARGV[2] == '0' then redis.call('HDEL', KEYS[1], ARGV[1])
else redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now + tonumber(ARGV[2]))) end
local left = lateMs(KEYS[1])
if left ~= '0' then redis.call('PEXPIRE', KEYS[1], left) end
redis.call('PUBLISH', ARGV[3], 'l ' .. left)
return left
`)

/**
 * Tells how many readers a process has, keeps the user's log from being
 * forgotten, and gives when the user's access was last revoked, or 0, for how long
 * the user's events are late, or 0, and the log's epoch, last offset and the
 * record of acknowledged events, unless there is no log.
 * `KEYS`: readers, revoked, late, then those of the log. `ARGV`: the process, its
 * readers, for how long they count, the log's time to live, both in milliseconds.
 *
 * @category scripts
 * @since 0.1.0
 */
export const attend = RedisScript.make(`${basics}${nowLua}${lateLua}
local readers, log, meta = KEYS[1], KEYS[4], KEYS[5]
local left = lateMs(KEYS[3])
local revoked = redis.call('GET', KEYS[2]) or '0'
local found = redis.call('HMGET', meta, 'epoch', 'last', 'ack', 'checkpoint', 'acks')
local last, ack, checkpoint = tonumber(found[2]), tonumber(found[3]), tonumber(found[4])
if found[1] and not (last and ack and checkpoint) then torn(found[1], 'its hash lacks a number') end
if ARGV[2] == '0' then
  redis.call('HDEL', readers, ARGV[1])
else
  -- A key that is none of this package's counts for nothing.
  if redis.call('TYPE', readers)['ok'] ~= 'hash' then redis.call('DEL', readers) end
  redis.call('HSET', readers, ARGV[1], ARGV[2] .. ':' .. string.format('%.0f', now + tonumber(ARGV[3])))
  redis.call('PEXPIRE', readers, ARGV[3])
end
if not found[1] then return { revoked, left } end
for i = 5, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[4]) end
if checkpoint < last then redis.call('PEXPIRE', log, ARGV[4]) end
return { revoked, left, found[1], found[2], found[5] or '' }
`)

/**
 * Notes that a user's access is revoked, by the server's clock and later than the
 * time before, and tells it to those who read. `KEYS`: revoked. `ARGV`: the
 * channel, for how long it is remembered in milliseconds.
 *
 * @category scripts
 * @since 0.1.0
 */
export const revoke = RedisScript.make(`${nowLua}
local at = string.format('%.0f', math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0') + 1))
-- Told first: where it cannot be written down as well, it is to be done again.
redis.call('PUBLISH', ARGV[1], 'r ' .. at)
redis.call('SET', KEYS[1], at, 'PX', ARGV[2])
return at
`)

/**
 * The number of readers of a user. `KEYS`: readers.
 *
 * @category scripts
 * @since 0.1.0
 */
export const countReaders = RedisScript.make(`${nowLua}
local count = 0
local all = redis.call('HGETALL', KEYS[1])
for i = 2, #all, 2 do
  local number, till = string.match(all[i], '^(%d+):(%d+)$')
  if tonumber(till) > now then count = count + tonumber(number) end
end
return count
`)

/**
 * Records that the event at a position was handled, among the last 128 of which
 * that is known, unless it is of another epoch or past the head: the log has given
 * out no such position. `KEYS`: meta. `ARGV`: the position's epoch and offset, the
 * channel. The record begins with its epoch, so that it does not outlive it.
 *
 * @category scripts
 * @since 0.1.0
 */
export const acknowledge = RedisScript.make(`${basics}
local found = redis.call('HMGET', KEYS[1], 'epoch', 'last', 'ack', 'acks')
if found[1] ~= ARGV[1] then return 0 end
local offset, last, ack = tonumber(ARGV[2]), tonumber(found[2]), tonumber(found[3])
if not (last and ack) then torn(found[1], 'its hash lacks a number') end
if offset > last then return 0 end
local epoch, others = string.match(found[4] or '', '^(%S+)(.*)$')
local known = { found[1], text(offset) }
for other in string.gmatch(epoch == found[1] and others or '', '%d+') do
  if tonumber(other) == offset then return 0 end
  if #known <= 128 then known[#known + 1] = other end
end
-- Told first: where it cannot be written down as well, it is to be done again.
redis.call('PUBLISH', ARGV[3], 'a ' .. ARGV[1] .. ' ' .. text(offset))
redis.call('HSET', KEYS[1], 'ack', text(math.max(offset, ack)), 'acks', table.concat(known, ' '))
return 1
`)
