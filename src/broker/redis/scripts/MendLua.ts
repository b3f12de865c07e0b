/**
 * Begins a log anew, under a new epoch, whose keys disagree: its numbers are no
 * longer to be trusted, so what it held is dropped, and readers are told by a gap.
 * Where runs stand is kept if it is of the same time as the rest.
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
local kinds = { 'stream', 'hash', 'hash', 'hash', 'hash' }

-- Which of the keys are of a type that they never have.
local function wrongTypes(keys)
  local wrong = {}
  for i, key in ipairs(keys) do
    local type = redis.call('TYPE', key)['ok']
    if type ~= 'none' and type ~= kinds[i] then wrong[#wrong + 1] = key end
  end
  return wrong
end

-- How many runs are active and how many ended, if the hash is of the same time as the rest.
local function keptStanding(meta, active)
  local stood, stamp = redis.call('HGET', meta, 'stood'), redis.call('HGET', active, ' ')
  local at, counts = string.match(stamp or '', '^(%d+)(;%d+;%d+)$')
  return stood and at == stood and counts
end
`

/**
 * The script that begins a log anew whose keys disagree.
 *
 * @category scripts
 * @since 0.1.0
 */
export const mend = RedisScript.make(`${basics}${functions}
local meta, active = KEYS[2], KEYS[5]
local wrong = wrongTypes(KEYS)
if #wrong == 0 and (ARGV[1] == '' or redis.call('HGET', meta, 'epoch') ~= ARGV[1]) then return 0 end
local isReadable = true
for _, key in ipairs(wrong) do isReadable = isReadable and key ~= meta and key ~= active end
local counts = isReadable and keptStanding(meta, active)

redis.call('PUBLISH', ARGV[5], '')
redis.call('PEXPIRE', meta, ARGV[4])
redis.call('DEL', meta .. ':none')
if #wrong > 0 then redis.call('DEL', unpack(wrong)) end
redis.call('HSET', meta, 'epoch', ARGV[2], 'server', ARGV[3], 'first', 1, 'last', 0, 'bytes', 0, 'since', 0, 'checkpoint', 0,
  'linger', 0, 'ack', 0, 'touched', 0, 'blocks', 0, 'folded', 0, 'stood', 0)
redis.call('DEL', KEYS[1], KEYS[3], KEYS[4])
if counts then redis.call('HSET', active, ' ', '0' .. counts) else redis.call('DEL', active) end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[4]) end
redis.call('PUBLISH', ARGV[5], 'e ' .. ARGV[2] .. ' 1 0')
return 1
`)
