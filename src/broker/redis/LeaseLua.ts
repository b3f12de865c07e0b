/**
 * Which processes live, by the leases they renew, and which users they have
 * active runs of. All keys are of one hash tag:
 *
 * - `alive`: a sorted set of leases by when they run out, in milliseconds;
 * - `claimed`: leases that ran out, and whose runs are being ended; by when;
 * - `gone`: leases whose runs were ended, by when; kept for a while, so that who
 *   held one learns that it was taken, and not that this server knows nothing;
 * - `users` of a lease: a hash from user to a mark that rises with each entry.
 *
 * Times are the server's.
 *
 * @since 0.1.0
 */
import * as RedisScript from "./Script.ts"

const nowLua = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function text(number) return string.format('%.0f', number) end
`

/**
 * Renews a lease, or takes it if it is not known; one that was claimed is not
 * given back. `KEYS`: alive, claimed, gone, users. `ARGV`: the lease, its
 * milliseconds, whether those that ran out may be claimed (1 or 0), for how long
 * to keep what is kept.
 *
 * Gives `held`, `taken` or `lost`, in how many milliseconds another runs out (-1
 * if there is none), and the leases whose runs are to be ended.
 *
 * @category scripts
 * @since 0.1.0
 */
export const beat = RedisScript.make(`${nowLua}
local alive, claimed, gone = KEYS[1], KEYS[2], KEYS[3]
local state = 'lost'
if not redis.call('ZSCORE', claimed, ARGV[1]) and not redis.call('ZSCORE', gone, ARGV[1]) then
  state = redis.call('ZADD', alive, text(now + tonumber(ARGV[2])), ARGV[1]) == 1 and 'taken' or 'held'
end
if ARGV[3] == '1' then
  for _, over in ipairs(redis.call('ZRANGEBYSCORE', alive, '-inf', text(now), 'LIMIT', 0, 64)) do
    redis.call('ZREM', alive, over)
    redis.call('ZADD', claimed, text(now), over)
  end
end
redis.call('ZREMRANGEBYSCORE', gone, '-inf', text(now - tonumber(ARGV[4])))
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[4]) end
local nextOver = -1
local first = redis.call('ZRANGE', alive, 0, 1, 'WITHSCORES')
for i = 1, #first, 2 do
  if nextOver < 0 and first[i] ~= ARGV[1] then nextOver = math.max(0, tonumber(first[i + 1]) - now) end
end
return { state, nextOver, redis.call('ZRANGE', claimed, 0, 63) }
`)

/**
 * Notes that a lease has active runs of a user, unless it is not alive. `KEYS`:
 * alive, users. `ARGV`: the lease, the user, the mark, for how long to keep it.
 *
 * @category scripts
 * @since 0.1.0
 */
export const enter = RedisScript.make(`
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
if redis.call('PTTL', KEYS[2]) < 0 then redis.call('PEXPIRE', KEYS[2], ARGV[4]) end
return 1
`)

/**
 * Forgets users of a lease that were not entered again since. `KEYS`: users.
 * `ARGV`: users and marks by turns.
 *
 * @category scripts
 * @since 0.1.0
 */
export const leave = RedisScript.make(`
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
return 1
`)

/**
 * Gives a lease back if no user is left under it. `KEYS`: alive, users. `ARGV`:
 * the lease.
 *
 * @category scripts
 * @since 0.1.0
 */
export const release = RedisScript.make(`
if redis.call('HLEN', KEYS[2]) > 0 then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
`)

/**
 * Notes that the runs of some users of a claimed lease were ended; with the last
 * the lease is gone. `KEYS`: claimed, gone, users. `ARGV`: the lease, then users.
 * Gives 1 when it is gone.
 *
 * @category scripts
 * @since 0.1.0
 */
export const finish = RedisScript.make(`${nowLua}
for i = 2, #ARGV do redis.call('HDEL', KEYS[3], ARGV[i]) end
if redis.call('HLEN', KEYS[3]) > 0 then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], text(now), ARGV[1])
return 1
`)
