/**
 * Appends a batch in one step, whole or not at all: takes each number of a
 * source once, assigns offsets, notes which runs are active, drops what is past
 * the bounds, renews the time to live, and publishes the events, or a mere
 * wake-up where they are many.
 *
 * Where a run of the batch starts or ends, the keys of the user's commands come behind
 * those of the log: what waits for a run that ends is settled in the same step.
 *
 * **The short path.** Most appends only add a block: of one source whose numbers go on,
 * of one run that stands as it did or of none, to a log that is whole. They are looked
 * for first, and do no more than that. What they rest on is read in the same step, from
 * the fields that every other script reads and writes as well, so it does not matter who
 * wrote last: another process, one that appends everything in full, or somebody by hand.
 * Both paths leave the same behind, but for two things:
 *
 * - the short one lets a log grow past its bounds, by a sixteenth at most, and the next
 *   append then drops what is over in one go. Readers never see that, since whoever looks
 *   at a log drops what is over before;
 * - the numbers of the batch's source it writes to the log's state alone, and to `sources`
 *   those of the source that it finds there. Whoever reads `sources` reads the state, too.
 *
 * What it does not read cannot matter to it: that `sources` is of another time is found by
 * the first append that needs it.
 *
 * `ARGV` from 3 on: the channel, the lease, the run of the batch where one neither starts
 * nor ends (nothing where it is of no run, a space where there is more to it), how the body of
 * the batch's last event begins and its runs as JSON (see `StandingLua.readRuns`), then the
 * blocks (see `Block.toArguments`). With an empty lease the batch is made of the endings of
 * lost runs. What only an append in full needs is one argument, since each costs the server
 * as much as a small command.
 *
 * Gives, behind a word for what came of it:
 *
 * - `appended`: the epoch, the offset of the batch's last event, the log's last
 *   offset before, how many active runs are left if one ended (-1 if none did; of
 *   lost runs, how many were ended), and whether a checkpoint is due and whether
 *   readers could be told (1 or 0 each);
 * - `added`, by the short path: the epoch, the two offsets, and whether a checkpoint is
 *   due, as one text, since a list costs the server more;
 * - `lost`: the runs that were ended as lost, of which the batch has something new;
 * - `changed`: lost runs do not stand as they were found.
 *
 * @since 0.1.0
 */
import { maxRanges, maxSpentSources } from "../../memory/SequenceSet.ts"
import { commandsMs, renewals } from "../codec/Keys.ts"
import * as LogLua from "./LogLua.ts"
import { settlingLua } from "./CommandLua.ts"
import type * as RedisScript from "./Script.ts"
import { sourcesLua } from "./SourcesLua.ts"
import { many, standingLua } from "./StandingLua.ts"

// A subscriber that is too slow is disconnected by Redis once 32 MiB wait for it: what is larger is left for it to ask for.
const maxPublished = 64 * 1024

// So many events after a checkpoint the next one is due: what a reader of snapshots must fold at most, about.
const checkpointEvery = 512

// A state (see LogState): the four numbers that an append changes; what it leaves, up to the last number taken of the source, and
// in that the numbers and texts that it looks at; and that number and the source.
const statePattern =
  "^(%d+) (%d+) (%d+) (%d+)( (%d+) %d+ (%d+) (%d+) (%d+) %d+ %d+ %d+ %d+ %d+ %d+ (%S+ %d+ %d+ %d+ %d+) (%S+) %S*%-)"
  + "(%d+) (.*)$"

// What an append leaves of a state: all before and behind the offset at which sources was written, and the numbers taken.
const restPattern = "^( %d+ %d+ %d+ %d+ %d+ %d+ %d+ %d+ )(%d+)( .* )(%S*)$"

// It comes before all functions, so that nothing of theirs is made where it is enough. What it needs of each is written out. One
// block with events of one source makes 15 arguments.
const shortPath = `
local function addAtOnce(keys, args)
  local run = args[5]
  if run == '${many}' or #args ~= 15 or #args[12] > ${maxPublished} then return nil end
  local known = redis.call('HMGET', keys[2], ' ', run)
  local last, bytes, blocks, checkpoint, rest, till, mostLast, mostBytes, first, limits, epoch, to, source =
    string.match(known[1] or '', '${statePattern}')
  if limits ~= args[2] then return nil end

  -- Its run is under this lease, and neither let go nor waited for.
  local lease, standing = args[4], known[2]
  if run ~= '' and (not standing or string.sub(standing, 1, #lease + 1) ~= lease .. '\\n'
    or string.find(standing, '^[^\\n]*\\n[^\\n]*\\n%d*[~>]')) then return nil end

  -- Within its bounds, or not far past them, and renewed lately.
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local count = tonumber(args[8])
  local head, size = last + count, bytes + args[9]
  if head > tonumber(mostLast) or size > tonumber(mostBytes) or now > tonumber(till) then return nil end

  -- The numbers of its source go on without a hole. Those of another source than the last event's stand in its field.
  local name, displacing, displaced = args[13], nil, nil
  if source ~= name then
    local saved = redis.call('HMGET', keys[3], ' ', name, source)
    local before, sourced, behind, taken = string.match(rest, '${restPattern}')
    local noted, others = string.match(saved[1] or '', '^(%d+)(;%d+)$')
    if noted ~= sourced or not saved[3] then return nil end
    displacing, displaced = { ' ', last .. others, source, last .. ';' .. taken .. to }, { ' ', saved[1], source, saved[3] }
    taken, to = string.match(saved[2] or '', '^%d+;(.*%-)(%d+)$')
    if not to then return nil end
    rest = before .. last .. behind .. taken
  end
  if to + 1 ~= tonumber(args[14]) or redis.call('XLEN', keys[1]) ~= tonumber(blocks) then return nil end

  local headText, at = string.format('%d', head), string.format('%d', last + 1)
  if checkpoint == last then checkpoint = last + args[10] end
  local counted = string.format('%d %d %d %d', head, size, blocks + 1, checkpoint)
  local number = string.format('%d ', to + count)
  -- First what can be taken back, since a stream cannot: for want of a right nothing is to be done by half.
  redis.call('HSET', keys[2], ' ', counted .. rest .. number .. name)
  if displacing then redis.call('HSET', keys[3], unpack(displacing)) end
  local id = redis.pcall('XADD', keys[1], at .. '-0',
    'm', string.format('%d ', now) .. args[8] .. ' ' .. args[9], 'n', args[11], 'e', args[12])
  if type(id) ~= 'string' then
    redis.call('HSET', keys[2], ' ', known[1])
    if displaced then redis.call('HSET', keys[3], unpack(displaced)) end
    return nil
  end
  local isDue = (head - checkpoint >= ${checkpointEvery} or first - 1 > tonumber(checkpoint)) and 1 or 0
  local told = redis.pcall('PUBLISH', args[3], 'e ' .. epoch .. ' ' .. at .. ' ' .. headText .. '\\n' .. args[12])
  if type(told) == 'number' then return 'added ' .. epoch .. ' ' .. headText .. ' ' .. last .. ' ' .. isDue end
  redis.call('HSET', keys[2], ' ', counted .. string.gsub(rest, '^ %d+ %d+', ' 0 0') .. number .. name)
  return { 'appended', epoch, head, tonumber(last), -1, isDue, 0 }
end
local added = addAtOnce(KEYS, ARGV)
if added then return added end
`

const functions = `
-- The blocks of a batch, which stand in the arguments from one on, and the names of its sources.
local function readBatch(args, at)
  local batch, names, seen = {}, {}, {}
  while at <= #args do
    local block = {
      count = tonumber(args[at + 1]), bytes = tonumber(args[at + 2]), leading = tonumber(args[at + 3]), sizes = args[at + 4],
      events = args[at + 5], stretches = {}
    }
    local stretch = at + 6
    for n = 1, tonumber(args[at]) do
      local source = args[stretch]
      block.stretches[n] = { source = source, from = tonumber(args[stretch + 1]), count = tonumber(args[stretch + 2]) }
      if not seen[source] then
        seen[source] = true
        names[#names + 1] = source
      end
      stretch = stretch + 3
    end
    batch[#batch + 1] = block
    at = stretch
  end
  return batch, names
end

-- What is left of a block without the events that are refused, by where they stand.
local function partOf(block, refused)
  local part, sizes, events = { count = 0, bytes = 0, leading = 0 }, {}, {}
  local nextLine = string.gmatch(block.events, '[^\\n]+')
  local at = 0
  for number, run in string.gmatch(block.sizes, '(%d+)(r?)') do
    at = at + 1
    local header, body = nextLine(), nextLine()
    if not refused[at] then
      if run == '' and part.leading == part.count then part.leading = part.leading + 1 end
      part.count = part.count + 1
      part.bytes = part.bytes + tonumber(number)
      sizes[part.count] = number .. run
      events[part.count] = header .. '\\n' .. body
    end
  end
  part.sizes, part.events = table.concat(sizes, ' '), table.concat(events, '\\n')
  return part
end

-- Takes the numbers of a stretch, and notes the places, from one on, of the events that were taken before. Gives how many
-- are new, and whether the last is.
local function takeStretch(source, stretch, place, refused, maxRanges)
  local from, to = stretch.from, stretch.from + stretch.count - 1
  if takeNumbers(source.ranges, from, to, maxRanges) then return stretch.count, true end
  local accepted, isLastNew = 0, false
  for number = from, to do
    isLastNew = takeNumbers(source.ranges, number, number, maxRanges)
    if isLastNew then accepted = accepted + 1 else refused[place + number - from] = true end
  end
  return accepted, isLastNew
end

-- The blocks to be added for what is new of the batch, the head after them, whether its last event and all of it are new, and
-- the source of the last that is.
local function takeBatch(log, batch, sources, now, maxRanges)
  local added, last, isLastNew, isAllNew, lastSource = {}, log.last, true, true, nil
  for _, block in ipairs(batch) do
    local refused, place, accepted = {}, 1, 0
    for _, stretch in ipairs(block.stretches) do
      local source = sources[stretch.source]
      local count
      count, isLastNew = takeStretch(source, stretch, place, refused, maxRanges)
      place = place + stretch.count
      accepted = accepted + count
      if count > 0 then source.offset, source.isChanged, lastSource = last + accepted, true, stretch.source end
    end
    if accepted < block.count then
      isAllNew = false
      block = partOf(block, refused)
    end
    if accepted > 0 then
      block.first, block.at, block.id = last + 1, now, text(last + 1) .. '-0'
      last = last + accepted
      added[#added + 1] = block
    end
  end
  return added, last, isLastNew, isAllNew, lastSource
end

-- Counts the added blocks into the log.
local function grow(log, added)
  for _, block in ipairs(added) do
    if log.first > log.last then log.since = block.at end
    if log.checkpoint == log.last then log.checkpoint = log.last + block.leading end
    log.last = log.last + block.count
    log.bytes = log.bytes + block.bytes
    log.blocks = log.blocks + 1
  end
end

-- Where a repeated event stands; what is no longer held has the place before the first.
local function placeOf(keys, log, added, body)
  local upTo = log.last
  while upTo >= log.first do
    local block = blockAt(keys, log, added, upTo)
    upTo = block.first - 1
    if string.find(block.events, '\\n' .. body, 1, true) then
      local isBody, offset, place = false, block.first, nil
      for line in string.gmatch(block.events, '[^\\n]+') do
        if isBody and string.sub(line, 1, #body) == body then place = offset end
        if isBody then offset = offset + 1 end
        isBody = not isBody
      end
      if place and place >= log.first then return place end
    end
  end
  return log.first - 1
end

-- What readers are told of: the events, or only that there are some.
local function messageOf(log, before, added)
  local message, size, events = 'e ' .. log.epoch .. ' ' .. text(before + 1) .. ' ' .. text(log.last), 0, {}
  for i, block in ipairs(added) do
    size = size + #block.events
    events[i] = block.events
  end
  return size <= ${maxPublished} and message .. '\\n' .. table.concat(events, '\\n') or message
end

-- A harmless form of each command that is to come. Fields are set by writeOpened.
local function prove(keys, limits, channel, isDue, removesFields, trims)
  if isDue then
    redis.call('PUBLISH', channel, '')
    redis.call('PEXPIRE', keys.meta, limits.ttl)
  end
  if removesFields then redis.call('HDEL', keys.meta, '\\n') end
  if trims then redis.call('XTRIM', keys.log, 'MINID', '0') end
end

local function addBlocks(keys, log, added)
  for i, block in ipairs(added) do
    local call = i == 1 and redis.pcall or redis.call
    local answer = call('XADD', keys.log, block.id, 'm',
      text(block.at) .. ' ' .. text(block.count) .. ' ' .. text(block.bytes), 'n', block.sizes, 'e', block.events)
    if type(answer) == 'table' and answer.err then
      if string.find(answer.err, 'equal or smaller', 1, true) then torn(log.epoch, 'its stream goes on past its head') end
      error(answer)
    end
  end
end

local function setFields(key, fields)
  for i = 1, #fields, 1000 do redis.call('HSET', key, unpack(fields, i, math.min(i + 999, #fields))) end
end
`

const body = `
local maxRanges = ${maxRanges}
local channel, lease, about = ARGV[3], ARGV[4], cjson.decode(ARGV[6])
local lastBody, runs = about[1], readRuns(about[2])
local batch, names = readBatch(ARGV, 7)
local sources, sourceCount = readSources(keys, log, names)
readStanding(keys, log, runs)
local isEnding = lease == ''

if isEnding then
  for _, run in ipairs(runs) do
    if run.value ~= run.besides then return { 'changed' } end
  end
else
  local refused = refusedRuns(runs, lease, batch, sources)
  if #refused > 0 then return { 'lost', unpack(refused) } end
end

local before = log.last
local added, last, isLastNew, isAllNew, lastSource = takeBatch(log, batch, sources, now, maxRanges)
if #added == 0 then
  local place = placeOf(keys, log, added, lastBody)
  if log.isNew or log.isMoved or log.isVanished then writeOpened(keys, log, limits.ttl) end
  return { 'appended', log.epoch, place, before, -1, 0, 1 }
end

local isDue = log.last == 0 or log.isVanished or now - log.touched > limits.ttl / ${renewals}
grow(log, added)
log.sourced, log.source, log.taken = log.last, lastSource, takenOf(sources[lastSource])
local isDropped = drop(keys, log, added, limits, now)
local needed = isDropped and firstNeeded(keys, log, added)
local place = isLastNew and log.last or placeOf(keys, log, added, lastBody)

if not isAllNew then recount(runs, added) end
local left = -1
for _, run in ipairs(runs) do
  if run.kind == 2 then left = 0 end
end
local runFields = standingFields(runs, log, function(run)
  if isEnding then return lostAfter(run, now) end
  return standingAfter(run, lease, now)
end)
local endedRuns = endedToForget(keys, runFields, log, now, limits)
if left == 0 then left = isEnding and #runFields / 2 or log.active end
log.ended = log.ended - #endedRuns

local commands, outcomes = KEYS[5], KEYS[6]
local settled = commands and commandsToSettle(commands, runs, isEnding) or {}

local addedSources = 0
for _, source in pairs(sources) do
  if source.isNew and source.isChanged then addedSources = addedSources + 1 end
end
local spentSources = log.isNew and {} or sourcesToForget(keys, log, sources, sourceCount, addedSources, ${maxSpentSources})
local fieldsOfSources = sourceFields(log, sources, sourceCount + addedSources - #spentSources)
local message = messageOf(log, before, added)

writeOpened(keys, log, limits.ttl)
prove(keys, limits, channel, isDue, #endedRuns > 0 or #spentSources > 0, isDropped)
if #settled > 0 then proveClosing(commands, outcomes, false, false, limits.ttl) end
addBlocks(keys, log, added)
setFields(keys.sources, fieldsOfSources)
setFields(keys.meta, runFields)
for _, name in ipairs(spentSources) do redis.call('HDEL', keys.sources, name) end
for _, name in ipairs(endedRuns) do redis.call('HDEL', keys.meta, name) end
if isDropped then trim(keys, log, needed) end
if isDue then
  log.touched = now
  for _, key in pairs(keys) do redis.call('PEXPIRE', key, limits.ttl) end
end
if #settled > 0 then settle(commands, outcomes, settled, channel, now, ${commandsMs}) end
-- Without the right to publish the next append is due, and fails by it; this one has happened.
local told = redis.pcall('PUBLISH', channel, message)
local isTold = type(told) == 'number'
if not isTold then log.touched = 0 end
saveLog(keys, log, limits)
local isCheckpointDue = log.last - log.checkpoint >= ${checkpointEvery} or log.first - 1 > log.checkpoint
return { 'appended', log.epoch, place, before, left, isCheckpointDue and 1 or 0, isTold and 1 or 0 }
`

const make = (first: string): RedisScript.Script =>
  LogLua.make(`${sourcesLua}${standingLua}${settlingLua}${functions}`, body, first)

/**
 * The script that appends a batch.
 *
 * @category scripts
 * @since 0.1.0
 */
export const append = make(shortPath)

/**
 * The same without the short path. It stands for what every append would do without it,
 * and for one of the version before.
 *
 * @category scripts
 * @since 0.2.0
 */
export const appendInFull = make("")
