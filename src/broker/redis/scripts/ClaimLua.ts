/**
 * Who begins a run: a key for each claim, with the lease that it is under.
 *
 * @since 0.2.0
 */
import * as RedisScript from "./Script.ts"

/**
 * Writes a claim down where what stands there is expected, or renews it, and gives what
 * stands there then. `KEYS`: the claim. `ARGV`: the lease, what is expected (nothing is
 * the empty text), for how long it stays when nobody renews it, in milliseconds.
 *
 * @category scripts
 * @since 0.2.0
 */
export const claim = RedisScript.make(`
local found = redis.call('GET', KEYS[1]) or ''
if found ~= ARGV[1] and found ~= ARGV[2] then return found end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return ARGV[1]
`)

/**
 * Takes a claim away that is under a lease of one process. `KEYS`: the claim. `ARGV`: how
 * the leases of that process begin.
 *
 * @category scripts
 * @since 0.2.0
 */
export const giveBack = RedisScript.make(`
local found = redis.call('GET', KEYS[1]) or ''
if string.sub(found, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`)
