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

// Reads a hash or a string. A key that is of another type is none of this package's, and counts for nothing.
const readLua = `
local function typeOf(key) return redis.call('TYPE', key)['ok'] end
local function fieldsOf(key) return typeOf(key) == 'hash' and redis.call('HGETALL', key) or {} end
local function numberAt(key) return typeOf(key) == 'string' and tonumber(redis.call('GET', key)) or 0 end
`

// Until when the user's events are late at most, by any emitter but one; and for how many milliseconds yet that is, or 0.
const lateLua = `
local function lateTill(late, except)
  local till, all = 0, fieldsOf(late)
  for i = 1, #all, 2 do
    if all[i] ~= except then till = math.max(till, tonumber(all[i + 1]) or 0) end
  end
  return till
end
local function leftOf(till) return string.format('%.0f', math.max(0, till - now)) end
`

/**
 * Notes that an emitter holds events of the user, or none any more, and tells it to
 * those who read. `KEYS`: late. `ARGV`: the emitter, for how long at most in
 * milliseconds, or 0, the channel.
 *
 * @category scripts
 * @since 0.1.0
 */
export const late = RedisScript.make(`${nowLua}${readLua}${lateLua}
local isOver = ARGV[2] == '0'
local till = isOver and 0 or now + tonumber(ARGV[2])
local left = leftOf(math.max(till, lateTill(KEYS[1], ARGV[1])))
if typeOf(KEYS[1]) ~= 'hash' then redis.call('DEL', KEYS[1]) end
-- Told first, and with a time to live before there is what should have one: where it fails, it is to be done again.
redis.call('PUBLISH', ARGV[3], 'l ' .. left)
if left ~= '0' then redis.call('PEXPIRE', KEYS[1], left) end
if isOver then redis.call('HDEL', KEYS[1], ARGV[1])
else redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', till)) end
if left ~= '0' then redis.call('PEXPIRE', KEYS[1], left) end
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
export const attend = RedisScript.make(`${basics}${nowLua}${readLua}${lateLua}
local readers, log, meta = KEYS[1], KEYS[4], KEYS[5]
local left = leftOf(lateTill(KEYS[3]))
local revoked = text(numberAt(KEYS[2]))
local saved, acks = unpack(redis.call('HMGET', meta, ' ', ' acks'))
local state = saved and readState(saved)
if saved and not state then torn(noEpoch, 'its state cannot be read') end
-- First, so that for want of the right to do so nothing is done.
if state then
  for i = 5, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[4]) end
  if state.checkpoint < state.last then redis.call('PEXPIRE', log, ARGV[4]) end
end
if ARGV[2] == '0' then
  redis.call('HDEL', readers, ARGV[1])
else
  if typeOf(readers) ~= 'hash' then redis.call('DEL', readers) end
  -- Nothing is to stay for ever because the right to give it a time to live is missing.
  redis.call('PEXPIRE', readers, ARGV[3])
  redis.call('HSET', readers, ARGV[1], ARGV[2] .. ':' .. string.format('%.0f', now + tonumber(ARGV[3])))
  redis.call('PEXPIRE', readers, ARGV[3])
end
if not state then return { revoked, left } end
return { revoked, left, state.epoch, text(state.last), acks or '' }
`)

/**
 * Notes that a user's access is revoked, by the server's clock and later than the
 * time before, and tells it to those who read. `KEYS`: revoked. `ARGV`: the
 * channel, for how long it is remembered in milliseconds.
 *
 * @category scripts
 * @since 0.1.0
 */
export const revoke = RedisScript.make(`${nowLua}${readLua}
local at = string.format('%.0f', math.max(now, numberAt(KEYS[1]) + 1))
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
export const countReaders = RedisScript.make(`${nowLua}${readLua}
local count = 0
local all = fieldsOf(KEYS[1])
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
local saved, ack, acks = unpack(redis.call('HMGET', KEYS[1], ' ', ' ack', ' acks'))
local state = saved and readState(saved)
if saved and not state then torn(noEpoch, 'its state cannot be read') end
if not state or state.epoch ~= ARGV[1] then return 0 end
local offset = tonumber(ARGV[2])
if offset > state.last then return 0 end
local epoch, others = string.match(acks or '', '^(%S+)(.*)$')
local known = { state.epoch, text(offset) }
for other in string.gmatch(epoch == state.epoch and others or '', '%d+') do
  if tonumber(other) == offset then return 0 end
  if #known <= 128 then known[#known + 1] = other end
end
-- Told first: where it cannot be written down as well, it is to be done again.
redis.call('PUBLISH', ARGV[3], 'a ' .. ARGV[1] .. ' ' .. text(offset))
redis.call('HSET', KEYS[1], ' ack', text(math.max(offset, tonumber(ack or 0))), ' acks', table.concat(known, ' '))
return 1
`)
