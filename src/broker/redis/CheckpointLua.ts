/**
 * Saves the runs' state as folded up to an offset, unless another process was
 * faster, and drops what was kept only to be folded.
 *
 * `ARGV` from 7 on: the epoch and the checkpoint that the fold went on from, the
 * new checkpoint, the number of runs to forget, these, then runs and states by
 * turns. Gives 1 if it was saved.
 *
 * @since 0.1.0
 */
import { openLua } from "./OpenLua.ts"
import * as RedisScript from "./Script.ts"

/**
 * @category scripts
 * @since 0.1.0
 */
export const checkpoint = RedisScript.make(`${openLua}
if ARGV[7] ~= epoch or tonumber(ARGV[8]) ~= checkpoint then return 0 end
checkpoint = tonumber(ARGV[9])
local forgotten = tonumber(ARGV[10])
for i = 11, 10 + forgotten do redis.call('HDEL', runs, ARGV[i]) end
for i = 11 + forgotten, #ARGV, 2 do redis.call('HSET', runs, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', meta, 'checkpoint', text(checkpoint), 'linger', 0)
trim()
local left = redis.call('PTTL', meta)
if left > 0 then redis.call('PEXPIRE', runs, left) end
return 1
`)
