/**
 * Begins a log anew, under a new epoch, whose keys disagree: its numbers are no
 * longer to be trusted, so what it held is dropped, and readers are told by a gap.
 * Where runs stand is kept, if the state of the log can be read that counts them.
 *
 * `KEYS`: those of the log. `ARGV`: the epoch in which they were seen to disagree
 * (empty where a key was of the wrong type), the new epoch, the server's id, the
 * time to live, the channel. Gives 1 if it began anew, and 0 if somebody else was
 * faster.
 *
 * Each step leaves a log that is found to be torn, or is whole: it may fail
 * anywhere, and be done again.
 *
 * @since 0.1.0
 */
import { basics } from "./LogLua.ts"
import * as RedisScript from "./Script.ts"

const functions = `
local kinds = { 'stream', 'hash', 'hash', 'hash' }

-- Which of the keys are of a type that they never have.
local function wrongTypes(keys)
  local wrong = {}
  for i, key in ipairs(keys) do
    local type = redis.call('TYPE', key)['ok']
    if type ~= 'none' and type ~= kinds[i] then wrong[#wrong + 1] = key end
  end
  return wrong
end

`

/**
 * The script that begins a log anew whose keys disagree.
 *
 * @category scripts
 * @since 0.1.0
 */
export const mend = RedisScript.make(`${basics}${functions}
local meta, wrong = KEYS[2], wrongTypes(KEYS)
local isReadable = true
for _, key in ipairs(wrong) do isReadable = isReadable and key ~= meta end
local saved = isReadable and redis.call('HGET', meta, ' ')
local before = saved and readState(saved)
local epoch = before and before.epoch or saved and noEpoch
if #wrong == 0 and (ARGV[1] == '' or epoch ~= ARGV[1]) then return 0 end
local log = emptyLog(ARGV[2], ARGV[3])
if before then log.active, log.ended = before.active, before.ended end

redis.call('PUBLISH', ARGV[5], '')
redis.call('PEXPIRE', meta, ARGV[4])
redis.call('DEL', meta .. ':none')
if #wrong > 0 then redis.call('DEL', unpack(wrong)) end
if not before then redis.call('DEL', meta) end
redis.call('HSET', meta, ' ', stateOf(log), ' ack', 0)
redis.call('DEL', KEYS[1], KEYS[3], KEYS[4])
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[4]) end
redis.call('PUBLISH', ARGV[5], 'e ' .. ARGV[2] .. ' 1 0')
return 1
`)
