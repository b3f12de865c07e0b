/**
 * Which processes live, by the leases they renew, and which users they have
 * active runs of. All keys are of one hash tag:
 *
 * - `alive`: a sorted set of leases by their counts: each renewal takes the next
 *   after the highest, so those renewed longest ago come first;
 * - `claimed`: leases whose runs are being ended, by the count they stopped at;
 * - `gone`: leases whose runs were ended, in that order; many of them are kept, so
 *   that who held one learns that it was taken, and not that this server knows
 *   nothing;
 * - `users` of a lease: a hash from user to a mark that rises with each entry.
 *
 * No time is told here, since the server's clock may step: see `Leases`.
 *
 * @since 0.1.0
 */
import * as RedisScript from "../scripts/Script.ts"

const nextLua = `
local function nextIn(key)
  local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
  return string.format('%.0f', tonumber(last or '0') + 1)
end
`

// So many that were lost are remembered.
const maxGone = 10_000

// So many of others are looked at: those that died are among them, unless more have died.
const maxOthers = 128

// So many users of a mailbox are told at once.
const maxMail = 128

/**
 * Renews a lease, or takes it if it is not known; one that was claimed is not
 * given back. `KEYS`: alive, claimed, gone, users, layout, the process's mailbox.
 * `ARGV`: the lease, for how long to keep what is kept, how many users of the mailbox
 * were seen to, by turns these and the numbers that they must still have, then by
 * turns leases to claim and the counts that they must still have.
 *
 * Gives `held`, `taken` or `lost`, others' leases and counts by turns, the leases
 * whose runs are to be ended, and by turns users in the mailbox and their numbers.
 *
 * @category scripts
 * @since 0.1.0
 */
export const beat = RedisScript.make(`${nextLua}
local alive, claimed, gone = KEYS[1], KEYS[2], KEYS[3]
local state = 'lost'
-- A harmless form of each command that is to come: for want of a right nothing is to be done by half.
redis.call('PEXPIRE', alive, ARGV[2])
redis.call('ZREM', claimed, '')
local mail, seen = KEYS[6], 2 * tonumber(ARGV[3])
-- A mailbox of another type counts for nothing, and costs nobody the lease.
local count = redis.pcall('HLEN', mail)
if type(count) == 'table' and not string.find(count.err, 'WRONGTYPE', 1, true) then error(count) end
local hasMail, seenTo = type(count) == 'number' and count > 0, {}
if hasMail then
  redis.call('HDEL', mail, '\\n')
  redis.call('HRANDFIELD', mail, 1)
  for i = 4, 3 + seen, 2 do
    if redis.call('HGET', mail, ARGV[i]) == ARGV[i + 1] then seenTo[#seenTo + 1] = ARGV[i] end
  end
end
if not redis.call('ZSCORE', claimed, ARGV[1]) and not redis.call('ZSCORE', gone, ARGV[1]) then
  state = redis.call('ZADD', alive, nextIn(alive), ARGV[1]) == 1 and 'taken' or 'held'
end
for _, user in ipairs(seenTo) do redis.call('HDEL', mail, user) end
for i = 4 + seen, #ARGV, 2 do
  if redis.call('ZSCORE', alive, ARGV[i]) == ARGV[i + 1] then
    redis.call('ZADD', claimed, ARGV[i + 1], ARGV[i])
    redis.call('ZREM', alive, ARGV[i])
  end
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[2]) end
return {
  state, redis.call('ZRANGE', alive, 0, ${maxOthers}, 'WITHSCORES'), redis.call('ZRANGE', claimed, 0, 63),
  hasMail and redis.call('HRANDFIELD', mail, ${maxMail}, 'WITHVALUES') or {}
}
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
local hasNoEnd = redis.call('PTTL', KEYS[2]) < 0
-- Before there is something to keep as well, so that it does not stay for ever for want of a right.
if hasNoEnd then redis.call('PEXPIRE', KEYS[2], ARGV[4]) end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
if hasNoEnd then redis.call('PEXPIRE', KEYS[2], ARGV[4]) end
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
export const finish = RedisScript.make(`${nextLua}
local next = nextIn(KEYS[2])
-- A harmless form of each command that is to come: for want of a right nothing is to be done by half.
redis.call('HLEN', KEYS[3])
redis.call('ZADD', KEYS[2], 'XX', 0, '')
redis.call('ZREM', KEYS[1], '')
for i = 2, #ARGV do redis.call('HDEL', KEYS[3], ARGV[i]) end
if redis.call('HLEN', KEYS[3]) > 0 then return 0 end
redis.call('ZADD', KEYS[2], next, ARGV[1])
local tooMany = redis.call('ZRANGE', KEYS[2], 0, -${maxGone + 1})
if #tooMany > 0 then redis.call('ZREM', KEYS[2], unpack(tooMany)) end
redis.call('ZREM', KEYS[1], ARGV[1])
return 1
`)
