/**
 * A user's commands, from the device that sends one to the process that has its run,
 * and what became of each.
 *
 * - `commands` has a field for each command that is open, by its id: its number, its
 *   digest, until when it is to be decided, the processes that wait for its outcome
 *   (`,a,b,`), the process that took it (or nothing), its run, and itself as JSON, one
 *   a line.
 * - `outcomes` has a field for each that was decided, by its id: when that was, its
 *   digest, and its outcome as JSON, one a line. Its own field ` ` has the next
 *   command's number, and of the outcomes how many there are, their bytes, and a time
 *   before which none was decided: `next;count;bytes;since`.
 *
 * A command is open once it is written down, and from then on decided exactly once, in
 * one step that removes it and writes its outcome: by the process that took it, by
 * whoever withdraws it before one did, or by the ending of its run. Only a process in
 * which the run was begun takes it. What a process took, nobody else decides, unless
 * the run was ended as lost since that process died: then it was accepted, since it may
 * have been done.
 *
 * A key that is of another type is none of this package's, counts for nothing, and is
 * replaced. Times are the server's, in milliseconds; where its clock steps a command may
 * be withdrawn early, and an outcome be forgotten early.
 *
 * @since 0.2.0
 */
import * as Command from "../../../protocol/command/Command.ts"
import { basics } from "./LogLua.ts"
import * as RedisScript from "./Script.ts"
import { standingLua } from "./StandingLua.ts"

// As text in Lua: none has a quote or a backslash in it.
const inLua = (outcome: Command.Outcome): string => `'${JSON.stringify(outcome)}'`

const ended = inLua(Command.refused("ended"))
const accepted = inLua(Command.accepted)
const unavailable = inLua(Command.refused("unavailable"))
const unknownRun = inLua(Command.refused("unknownRun"))
const notAllowed = inLua(Command.refused("notAllowed", { message: "nobody takes commands for this run" }))

/**
 * Functions over the commands of a user. They stand on those of `LogLua.basics` and
 * of `standingLua`.
 *
 * @category scripts
 * @since 0.2.0
 */
export const commandLua = `
-- What a hash answered, or nothing, and that it is of another type.
local function orNothing(found)
  if type(found) ~= 'table' or not found.err then return found, false end
  if not string.find(found.err, 'WRONGTYPE', 1, true) then error(found) end
  return nil, true
end

-- A command that is open, by name.
local function toOpen(id, saved)
  local number, digest, till, senders, taker, run, body =
    string.match(saved, '^(%d+)\\n([^\\n]*)\\n(%d+)\\n([^\\n]*)\\n([^\\n]*)\\n([^\\n]*)\\n(.*)$')
  return number and {
    id = id, number = tonumber(number), digest = digest, till = tonumber(till), senders = senders, taker = taker, run = run,
    body = body
  }
end

local function toSaved(one)
  return table.concat({ text(one.number), one.digest, text(one.till), one.senders, one.taker, one.run, one.body }, '\\n')
end

-- The commands that are open, in order, and whether their key is of another type.
local function readOpen(commands)
  local all, isWrong = orNothing(redis.pcall('HGETALL', commands))
  local open = {}
  for i = 1, all and #all or 0, 2 do
    local one = toOpen(all[i], all[i + 1])
    if one then open[#open + 1] = one end
  end
  table.sort(open, function(a, b) return a.number < b.number end)
  return open, isWrong
end

-- What is known of the outcomes in all, and of one id.
local function readOutcomes(outcomes, id)
  local found, isWrong = orNothing(redis.pcall('HMGET', outcomes, ' ', id))
  local next, count, bytes, since = string.match(found and found[1] or '1;0;0;0', '^(%d+);(%d+);(%d+);(%d+)$')
  local known = {
    next = tonumber(next or 1), count = tonumber(count or 0), bytes = tonumber(bytes or 0), since = tonumber(since or 0),
    isWrong = isWrong
  }
  if found and found[2] then known.digest, known.outcome = string.match(found[2], '^%d+\\n([^\\n]*)\\n(.*)$') end
  return known
end

-- What became of a command, as a reply, where that is certain, or its id was another's; else what is known of the outcomes,
-- and the command itself if it is open, and whether its key is of another type.
local function lookUp(commands, outcomes, id, digest)
  local known = readOutcomes(outcomes, id)
  if known.outcome then return known.digest == digest and { 'decided', known.outcome } or { 'conflict' } end
  local saved, isWrong = orNothing(redis.pcall('HGET', commands, id))
  local one = saved and toOpen(id, saved)
  return one and one.digest ~= digest and { 'conflict' }, known, one, isWrong
end

local function stampOf(known)
  return text(known.next) .. ';' .. text(known.count) .. ';' .. text(known.bytes) .. ';' .. text(known.since)
end

-- The outcomes that are remembered for long enough, which count no more.
local function outcomesToForget(outcomes, known, now, memory)
  local all, forgotten = redis.call('HGETALL', outcomes), {}
  known.count, known.bytes, known.since = 0, 0, 0
  for i = 1, #all, 2 do
    local at = all[i] ~= ' ' and tonumber(string.match(all[i + 1], '^(%d+)\\n') or 0)
    if at and at + memory <= now then
      forgotten[#forgotten + 1] = all[i]
    elseif at then
      known.count = known.count + 1
      known.bytes = known.bytes + #all[i] + #all[i + 1]
      if known.since == 0 or at < known.since then known.since = at end
    end
  end
  return forgotten
end

-- A harmless form of what is to come. What is of another type goes.
local function proveClosing(commands, outcomes, isWrongCommands, isWrongOutcomes, ttl)
  redis.call('PEXPIRE', outcomes, ttl)
  if isWrongCommands then redis.call('DEL', commands) else redis.call('HDEL', commands, '\\n') end
  if isWrongOutcomes then redis.call('DEL', outcomes) end
end

-- Decides commands: names of each its id, its digest, its outcome, and who waits for it, on which channels.
local function close(commands, outcomes, known, closed, user, processes, now, ttl)
  local fields = {}
  for _, one in ipairs(closed) do
    local value = text(now) .. '\\n' .. one.digest .. '\\n' .. one.outcome
    fields[#fields + 1] = one.id
    fields[#fields + 1] = value
    known.count = known.count + 1
    known.bytes = known.bytes + #one.id + #value
    if known.since == 0 then known.since = now end
  end
  redis.call('HSET', outcomes, ' ', stampOf(known), unpack(fields))
  for _, one in ipairs(closed) do redis.call('HDEL', commands, one.id) end
  redis.call('PEXPIRE', outcomes, ttl)
  -- Without the right to publish it is found by asking again.
  for _, one in ipairs(closed) do
    for process in string.gmatch(one.senders, '[^,]+') do
      redis.pcall('PUBLISH', processes .. process, 'o\\n' .. user .. '\\n' .. one.id .. '\\n' .. one.digest .. '\\n' .. one.outcome)
    end
  end
end

-- Whether a run has ended so that nobody decides about a command of it any more: none took it, or who did was taken for dead,
-- or had all the time for which an outcome is remembered.
local function isOverFor(value, one, now)
  return isEnded(value) and (one.taker == '' or isBarred(value, one.taker) or now > one.till + ${Command.outcomeMemoryMs})
end

-- What becomes of a command whose run is over: it is refused, unless a process took it. That one may have done it, and what was
-- refused is never done.
local function outcomeAfter(one)
  return one.taker == '' and ${ended} or ${accepted}
end
`

/**
 * What an append does with commands: the functions by which an ending settles those
 * of its run.
 *
 * @category scripts
 * @since 0.2.0
 */
export const settlingLua = `${commandLua}
-- The commands that are settled by what a batch has of their runs: of one that ended or began anew all that nobody took, of
-- one that was ended as lost also what was taken by the process that held it.
local function commandsToSettle(commands, runs, isEnding)
  local over = {}
  for _, run in ipairs(runs) do
    local value = run.value
    local startedAt = value and not isEnded(value) and tonumber(startIn(value))
    if run.kind == 2 then over[run.name] = isEnding and value and holderOf(value) or ''
    elseif run.kind == 1 and startedAt and run.at > startedAt then over[run.name] = '' end
  end
  local settled = {}
  if not next(over) then return settled end
  for _, one in ipairs(readOpen(commands)) do
    local holder = over[one.run]
    if holder and (one.taker == '' or one.taker == holder) then
      one.outcome = outcomeAfter(one)
      settled[#settled + 1] = one
    end
  end
  return settled
end

local function settle(commands, outcomes, settled, channel, now, ttl)
  local start, user = string.match(channel, '^([^{]*){(.*)}:wake$')
  local known = readOutcomes(outcomes, ' ')
  if known.isWrong then redis.call('DEL', outcomes) end
  close(commands, outcomes, known, settled, user, start .. 'process:', now, ttl)
end
`

const lua = `${basics}${standingLua}${commandLua}`

/**
 * Takes a command in, or finds what became of it. `KEYS`: commands, outcomes, meta,
 * runs. `ARGV`: the user, how the channels of processes begin, the time to live,
 * the command's id, digest, run and itself, the process that sends, within how many
 * milliseconds it is to be decided, for how long outcomes are remembered, how many may
 * be open and known, how many bytes they may have, the server's id, and `1` where a log
 * that is not known may be taken for none.
 *
 * Gives, behind a word for what came of it:
 *
 * - `decided`, and the outcome;
 * - `conflict`: the id was another command's;
 * - `open`, its number, and the process that it is for (empty if none is known);
 * - `tooMany`, how many are open and how many are known;
 * - `unsure`: nothing is known of the user's log.
 *
 * @category scripts
 * @since 0.2.0
 */
export const put = RedisScript.make(`${lua}
local commands, outcomes, meta, runs = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local user, processes, ttl, id, digest, run, body, sender = unpack(ARGV, 1, 8)
local within, memory = tonumber(ARGV[9]), tonumber(ARGV[10])
local maxOpen, maxKnown, maxBytes = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
local server, isFinal = ARGV[14], ARGV[15] == '1'
local now = clock()

local reply, known, one, isWrong = lookUp(commands, outcomes, id, digest)
if reply then return reply end

local value = redis.call('HGET', meta, run)
local outcome = false
if not one then
  if isEnded(value) or not value and redis.call('HGET', runs, run) then outcome = ${ended}
  elseif not value then
    local log = readState(redis.call('HGET', meta, ' ') or '')
    if not isFinal and not (log and log.server == server) then return { 'unsure' } end
    outcome = ${unknownRun}
  end
elseif isOverFor(value, one, now) then
  outcome = outcomeAfter(one)
end

local forgotten = {}
if not one then
  local open = isWrong and 0 or redis.call('HLEN', commands)
  local function isFull() return known.count + open >= maxKnown or known.bytes + #body > maxBytes end
  if known.since > 0 and known.since + memory <= now and (isFull() or known.next % 32 == 0) then
    forgotten = outcomesToForget(outcomes, known, now, memory)
  end
  if open >= maxOpen or isFull() then return { 'tooMany', open, known.count + open } end
  one = {
    id = id, number = known.next, digest = digest, till = 0, senders = ',', taker = '', run = run, body = body, isNew = true
  }
  known.next = known.next + 1
end

if outcome then
  proveClosing(commands, outcomes, isWrong, known.isWrong, ttl)
  for _, name in ipairs(forgotten) do redis.call('HDEL', outcomes, name) end
  one.outcome = outcome
  close(commands, outcomes, known, { one }, user, processes, now, ttl)
  return { 'decided', outcome }
end

one.till = math.max(one.till, now + within)
local isKnown = string.find(one.senders, ',' .. sender .. ',', 1, true)
if not isKnown and select(2, string.gsub(one.senders, ',', '')) <= 16 then one.senders = one.senders .. sender .. ',' end
redis.call('PEXPIRE', commands, ttl)
redis.call('PEXPIRE', outcomes, ttl)
if #forgotten > 0 then redis.call('HDEL', outcomes, '\\n') end
if isWrong then redis.call('DEL', commands) end
if known.isWrong then redis.call('DEL', outcomes) end
redis.call('HSET', commands, id, toSaved(one))
if one.isNew then redis.call('HSET', outcomes, ' ', stampOf(known)) end
for _, name in ipairs(forgotten) do redis.call('HDEL', outcomes, name) end
redis.call('PEXPIRE', commands, ttl)
redis.call('PEXPIRE', outcomes, ttl)
local home = value and not isEnded(value) and homeOf(value) or ''
return { 'open', one.number, one.taker ~= '' and one.taker or home }
`)

/**
 * Enters a user into the mailbox of a process, and wakes it. `KEYS`: the mailbox.
 * `ARGV`: the user, the number of the command, the time to live, the channel of the
 * process.
 *
 * @category scripts
 * @since 0.2.0
 */
export const post = RedisScript.make(`
-- Woken first, and with a time to live before there is what should have one: where it fails, it is to be done again.
redis.call('PUBLISH', ARGV[4], 'm\\n' .. ARGV[1] .. '\\n' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`)

/**
 * Takes the next command that is for a process: of a run that was begun in it, or one
 * that it took before and did not decide. From now on nobody withdraws it. What is past
 * its time is refused as `unavailable` instead. `KEYS`: commands, outcomes, meta.
 * `ARGV`: the user, how the channels of processes begin, the time to live, the process,
 * then the ids of those it leaves as they are. Gives the command's id, digest, run and
 * itself, if there is one, and behind it 1 if there is another, or 0.
 *
 * @category scripts
 * @since 0.2.0
 */
export const take = RedisScript.make(`${lua}
local commands, outcomes, meta = KEYS[1], KEYS[2], KEYS[3]
local user, processes, ttl, process = unpack(ARGV, 1, 4)
local now = clock()
local left, mine, late, hasMore = {}, nil, {}, 0
for i = 5, #ARGV do left[ARGV[i]] = true end
local open, isWrong = readOpen(commands)
for _, one in ipairs(open) do
  -- What it took that long ago it remembers no more, and may have done.
  local isMine = one.taker == process and not left[one.id] and now <= one.till + ${Command.outcomeMemoryMs}
  if one.taker == '' then
    if one.till < now then
      one.outcome = ${unavailable}
      late[#late + 1] = one
    else
      local value = redis.call('HGET', meta, one.run)
      isMine = value and not isEnded(value) and homeOf(value) == process
    end
  end
  if isMine and mine then hasMore = 1 end
  if isMine and not mine then mine = one end
end
if #late > 0 then
  local known = readOutcomes(outcomes, ' ')
  proveClosing(commands, outcomes, isWrong, known.isWrong, ttl)
  close(commands, outcomes, known, late, user, processes, now, ttl)
end
if not mine then return {} end
if mine.taker == '' then
  mine.taker = process
  redis.call('PEXPIRE', commands, ttl)
  redis.call('HSET', commands, mine.id, toSaved(mine))
end
return { mine.id, mine.digest, mine.run, mine.body, hasMore }
`)

/**
 * Decides a command that a process took, unless it was decided. `KEYS`: commands,
 * outcomes, meta. `ARGV`: the user, how the channels of processes begin, the time to
 * live, the command's id, digest and run, and the outcome; or `log` where where the run
 * stands is to decide, or `end` where only its ending may. Gives `decided` and the
 * outcome, or `open`.
 *
 * @category scripts
 * @since 0.2.0
 */
export const decide = RedisScript.make(`${lua}
local commands, outcomes, meta = KEYS[1], KEYS[2], KEYS[3]
local user, processes, ttl, id, digest, run, outcome = unpack(ARGV)
local known = readOutcomes(outcomes, id)
if known.outcome then return { 'decided', known.outcome } end
local saved, isWrong = orNothing(redis.pcall('HGET', commands, id))
local one = saved and toOpen(id, saved) or { id = id, digest = digest, senders = '' }
if outcome == 'log' or outcome == 'end' then
  local value = redis.call('HGET', meta, run)
  if value and not isEnded(value) then
    if outcome == 'end' then return { 'open' } end
    outcome = ${notAllowed}
  else
    outcome = value and ${ended} or ${unknownRun}
  end
end
one.outcome = outcome
proveClosing(commands, outcomes, isWrong, known.isWrong, ttl)
close(commands, outcomes, known, { one }, user, processes, clock(), ttl)
return { 'decided', outcome }
`)

/**
 * Withdraws a command that nobody took, also one that was not written down: what comes
 * late of it is refused as well. `KEYS`: commands, outcomes, meta. `ARGV`: the user,
 * how the channels of processes begin, the time to live, the command's id, digest and
 * run. Gives `decided` and the outcome, `conflict`, or `taken`.
 *
 * @category scripts
 * @since 0.2.0
 */
export const withdraw = RedisScript.make(`${lua}
local commands, outcomes, meta = KEYS[1], KEYS[2], KEYS[3]
local user, processes, ttl, id, digest, run = unpack(ARGV)
local reply, known, one, isWrong = lookUp(commands, outcomes, id, digest)
if reply then return reply end
one = one or { id = id, digest = digest, till = 0, senders = '', taker = '' }
local now = clock()
local value = redis.call('HGET', meta, run)
local isOver = isOverFor(value, one, now)
if one.taker ~= '' and not isOver then return { 'taken' } end
one.outcome = isOver and outcomeAfter(one) or ${unavailable}
proveClosing(commands, outcomes, isWrong, known.isWrong, ttl)
close(commands, outcomes, known, { one }, user, processes, now, ttl)
return { 'decided', one.outcome }
`)
