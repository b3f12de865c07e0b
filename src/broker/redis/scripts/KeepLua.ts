/**
 * Keeps a log from being forgotten while runs of it are active and say nothing,
 * and writes down anew where they stand if the server forgot it: if the log is another
 * than the one that knew of them. What the same log does not know any more has ended.
 *
 * `ARGV` from 3 on: the channel, the lease, the number of runs, then of each its
 * name, thread, the time of its start (or nothing), the epoch of the log that its
 * start is in, and its state after its start. Gives the epoch, the last offset,
 * and the runs that have ended meanwhile, or are another process's now: those first
 * that take nothing more of this one, and before all how many they are.
 *
 * Where a state was written down readers are told by a new epoch, since those who
 * looked before did not see the run.
 *
 * @since 0.1.0
 */
import * as LogLua from "./LogLua.ts"
import { standingLua } from "./StandingLua.ts"

const functions = `
-- The runs that are held, which stand in the arguments from one on: their number, then five of each.
local function readHeld(args, at)
  local runs = {}
  for n = 1, tonumber(args[at]) do
    local from = at + 5 * n - 4
    runs[n] = {
      name = args[from], besides = args[from + 1], startedAt = args[from + 2], epoch = args[from + 3], state = args[from + 4]
    }
  end
  return runs
end

-- The states to write down, names and states by turns, and how many there are then: of the runs whose start is of another
-- time of the log, and of which it knows nothing.
local function statesToSave(keys, log, runs)
  local names, fields = {}, {}
  for n, run in ipairs(runs) do names[n] = run.name end
  local found = log.isNew and {} or redis.call('HMGET', keys.runs, ' ', unpack(names))
  local at, count = string.match(found[1] or '0;0', '^(%d+);(%d+)$')
  if not log.isNew and at ~= text(log.folded) then torn(log.epoch, 'its runs are of another time') end
  for n, run in ipairs(runs) do
    if run.epoch ~= log.epoch and not found[n + 1] and not isEnded(run.value) then
      local offset = text(log.checkpoint)
      fields[#fields + 1] = run.name
      fields[#fields + 1] = '{"since":' .. offset .. ',"offset":' .. offset .. ',"state":' .. run.state .. '}'
    end
  end
  return fields, tonumber(count) + #fields / 2
end
`

/**
 * The script that keeps a log whose runs are active.
 *
 * @category scripts
 * @since 0.1.0
 */
export const keep = LogLua.make(
  `${standingLua}${functions}`,
  `
local channel, lease = ARGV[3], ARGV[4]
local runs = readHeld(ARGV, 5)
readStanding(keys, log, runs)
local states, count = statesToSave(keys, log, runs)
local fields = standingFields(runs, log, function(run)
  local isNew = not run.value and (log.isNew or run.epoch ~= log.epoch)
  return isNew and activeField(lease, run.besides, run.startedAt, '', holderOf(lease)) or nil
end)
local shut, others = {}, {}
for _, run in ipairs(runs) do
  if isShut(run.value, lease) then shut[#shut + 1] = run.name
  elseif not run.value then
    if not log.isNew and run.epoch == log.epoch then others[#others + 1] = run.name end
  elseif isEnded(run.value) or holderOf(run.value) ~= holderOf(lease) then others[#others + 1] = run.name end
end
local reply = { log.epoch, log.last, #shut, unpack(shut) }
for _, name in ipairs(others) do reply[#reply + 1] = name end
if #states > 0 then
  if not log.isNew then log.epoch, log.ack = ARGV[1], 0 end
  reply[1] = log.epoch
  states[#states + 1] = ' '
  states[#states + 1] = text(log.folded) .. ';' .. text(count)
end
log.touched = now

redis.call('PEXPIRE', keys.meta, limits.ttl)
if #states > 0 then redis.call('PUBLISH', channel, '') end
writeOpened(keys, log, limits.ttl)
if #fields > 0 then redis.call('HSET', keys.meta, unpack(fields)) end
if #states > 0 then redis.call('HSET', keys.runs, unpack(states)) end
saveLog(keys, log, limits)
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, limits.ttl) end
if #states > 0 then redis.call('PUBLISH', channel, 'e ' .. log.epoch .. ' ' .. text(log.last + 1) .. ' ' .. text(log.last)) end
return reply
`
)
