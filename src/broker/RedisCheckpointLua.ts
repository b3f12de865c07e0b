/**
 * Saves the runs' state as folded up to an offset, unless another process was
 * faster, and drops what was kept only to be folded.
 *
 * `ARGV` from 4 on: the epoch and the checkpoint that the fold went on from, the
 * new checkpoint, the number of runs to forget, these, then runs and states by
 * turns. Gives 1 if it was saved.
 *
 * @since 0.1.0
 */
import { openLua } from "./RedisOpenLua.ts"
import * as RedisScript from "./RedisScript.ts"

/**
 * @category scripts
 * @since 0.1.0
 */
export const checkpoint = RedisScript.make(`${openLua}
if ARGV[4] ~= epoch or tonumber(ARGV[5]) ~= checkpoint then return 0 end
checkpoint = tonumber(ARGV[6])
local forgotten = tonumber(ARGV[7])
for i = 8, 7 + forgotten do redis.call('HDEL', runs, ARGV[i]) end
for i = 8 + forgotten, #ARGV, 2 do redis.call('HSET', runs, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', meta, 'checkpoint', text(checkpoint), 'linger', 0)
redis.call('XTRIM', log, 'MINID', text(math.min(first, checkpoint + 1)) .. '-0')
local left = redis.call('PTTL', meta)
if left > 0 then redis.call('PEXPIRE', runs, left) end
return 1
`)
