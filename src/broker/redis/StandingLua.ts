/**
 * Where a user's runs stand: which are active, under whose lease, and which were
 * ended as lost.
 *
 * The hash `active` has a field for each run that
 *
 * - is active: `lease`, `thread` and `barred`, one a line. The lease is that of
 *   the process that appended last, so a run goes with whoever drains what was
 *   left of it;
 * - was ended as lost: `!`, when, and `barred`. It takes no more events, from
 *   whomever, until it starts anew.
 *
 * `barred` are the processes, `,a,b,`, whose lease ran out while the run was
 * theirs: when another starts the run anew, what they still have of it is not
 * taken for the new run's. It is mostly empty.
 *
 * A lease is the name of a process and a number, `name.number`.
 *
 * @since 0.1.0
 */
import type { Envelope } from "../../protocol/Envelope.ts"
import type { RunId } from "../../protocol/Identity.ts"
import * as RunState from "../../protocol/RunState.ts"
import * as RedisScript from "./Script.ts"

/**
 * Finds out what the batch's runs allow, before anything is written. `firstRun` is
 * where in `ARGV` they begin: the lease and the number of runs, then for each its
 * name, its thread, and what the batch has of it: 1 a start, 2 an ending, the last
 * of them if there are several, 0 neither. With an empty lease the batch is made
 * of the endings of lost runs, and what stands for the thread is the run's field
 * as it must be found.
 *
 * A batch with something new of a run that was ended as lost is answered with `!`
 * and the names of these runs; endings of runs that do not stand as they must, with
 * `?`.
 *
 * @category scripts
 * @since 0.1.0
 */
export const admitLua = `
local active = KEYS[5]
local lease, runCount = ARGV[firstRun], tonumber(ARGV[firstRun + 1])
local firstBlock = firstRun + 2 + 3 * runCount
local isEnding = lease == ''
local holder = string.match(lease, '^[^.]*')
local function barredIn(value) return value and string.match(value, '\\n(,[^\\n]*)$') or '' end

local standing, shut, isSomeShut = {}, {}, false
for n = 1, runCount do
  local run = ARGV[firstRun + 3 * n - 1]
  local value = redis.call('HGET', active, run)
  standing[run] = value
  if isEnding then
    if value ~= ARGV[firstRun + 3 * n] then return { '?' } end
  elseif value and string.sub(value, 1, #lease + 1) ~= lease .. '\\n' then
    local isShut = string.sub(value, 1, 2) == '!\\n' or string.find(barredIn(value), ',' .. holder .. ',', 1, true)
    shut[run] = isShut and true
    isSomeShut = isSomeShut or shut[run]
  end
end

-- In its array a header tells an event's type first and its run third. Only where something is wrong is it worth reading.
local function eachHeader(events, see)
  local isHeader = true
  for line in string.gmatch(events, '[^\\n]+') do
    if isHeader then
      local header = cjson.decode(string.match(line, '%[.*'))
      see(header[3], header[1])
    end
    isHeader = not isHeader
  end
end

local function isTaken(ranges, number)
  for _, range in ipairs(ranges) do
    if range[1] <= number and number <= range[2] then return true end
  end
  return false
end

if isSomeShut then
  local refused, at = { '!' }, firstBlock
  while at <= #ARGV do
    local stretches = at + 6 + 3 * tonumber(ARGV[at])
    local stretch, number, upTo = at + 3, 0, 0
    eachHeader(ARGV[at + 5], function(run, type)
      number = number + 1
      if number > upTo then
        stretch = stretch + 3
        number = tonumber(ARGV[stretch + 1])
        upTo = number + tonumber(ARGV[stretch + 2]) - 1
      end
      if not shut[run] or isTaken(rangesOf(ARGV[stretch]).ranges, number) then return end
      shut[run] = nil
      if type ~= 'agent_started' then refused[#refused + 1] = run end
    end)
    at = stretches
  end
  if #refused > 1 then return refused end
end
`

/**
 * Writes down where the runs stand after the batch. Sets `left`: the number of
 * fields that are left, -1 where no run ended, or how many were ended as lost.
 *
 * @category scripts
 * @since 0.1.0
 */
export const standLua = `
local left, kinds, threads = -1, {}, {}
if last > before then
  for n = 1, runCount do
    local run = ARGV[firstRun + 3 * n - 1]
    threads[run] = ARGV[firstRun + 3 * n]
    if isAllNew then kinds[run] = tonumber(ARGV[firstRun + 3 * n + 1]) end
  end
  if runCount > 0 and not isAllNew then
    for _, events in ipairs(published) do
      eachHeader(events, function(run, type)
        if threads[run] then
          if type == 'agent_started' then kinds[run] = 1
          elseif type == 'agent_completed' or type == 'agent_error' then kinds[run] = 2
          else kinds[run] = kinds[run] or 0 end
        end
      end)
    end
  end
end
local lostNow, hasWritten = 0, false
for run, kind in pairs(kinds) do
  local value = standing[run]
  local barred = barredIn(value)
  if isEnding then
    local owner = string.match(value, '^[^.\\n]*')
    redis.call('HSET', active, run, '!\\n' .. text(now) .. '\\n' .. (barred == '' and ',' or barred) .. owner .. ',')
    lostNow, hasWritten = lostNow + 1, true
  elseif kind == 2 then
    left = 0
    if barred == '' then
      redis.call('HDEL', active, run)
    else
      redis.call('HSET', active, run, '!\\n' .. text(now) .. '\\n' .. barred)
      hasWritten = true
    end
  elseif kind == 1 or not value or string.sub(value, 1, #lease + 1) ~= lease .. '\\n' then
    if kind == 1 then
      barred = string.gsub(barred, ',' .. holder .. ',', ',')
      if barred == ',' then barred = '' end
    end
    redis.call('HSET', active, run, lease .. '\\n' .. threads[run] .. '\\n' .. barred)
    hasWritten = true
  end
end
if hasWritten and redis.call('PTTL', active) < 0 then redis.call('PEXPIRE', active, ttl) end
if left == 0 then left = redis.call('HLEN', active) end
if isEnding then
  left = lostNow
  -- Who was lost so long ago that the log of that time is gone is forgotten.
  if redis.call('HLEN', active) > 32 then
    local all = redis.call('HGETALL', active)
    for i = 1, #all, 2 do
      local at = string.match(all[i + 1], '^!\\n(%d+)')
      if at and tonumber(at) < now - tonumber(ttl) then redis.call('HDEL', active, all[i]) end
    end
  end
end
`

/**
 * Puts the runs that are active under one lease under another. `KEYS`: active.
 * `ARGV`: the two leases.
 *
 * @category scripts
 * @since 0.1.0
 */
export const carryOver = RedisScript.make(`
local all = redis.call('HGETALL', KEYS[1])
local from = ARGV[1] .. '\\n'
for i = 1, #all, 2 do
  if string.sub(all[i + 1], 1, #from) == from then
    redis.call('HSET', KEYS[1], all[i], ARGV[2] .. string.sub(all[i + 1], #from))
  end
end
return 1
`)

/**
 * The arguments of `admitLua`: the lease, and what there is to know of the
 * batch's runs, each with what `besides` gives.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toArguments = (
  lease: string,
  batch: ReadonlyArray<Envelope>,
  besides: (envelope: Envelope, run: RunId) => string
): ReadonlyArray<string> => {
  const runs = new Map<RunId, { readonly besides: string; kind: "0" | "1" | "2" }>()
  for (const envelope of batch) {
    const { run, type } = envelope
    if (run === undefined) continue
    let found = runs.get(run)
    if (found === undefined) {
      found = { besides: besides(envelope, run), kind: "0" }
      runs.set(run, found)
    }
    if (RunState.isStart(type)) found.kind = "1"
    else if (RunState.isTerminal(type)) found.kind = "2"
  }
  const args = [lease, String(runs.size)]
  for (const [run, { besides, kind }] of runs) args.push(run, besides, kind)
  return args
}

/**
 * What a field of `active` tells of a run that is active.
 *
 * @category conversions
 * @since 0.1.0
 */
export const readActive = (value: string): { readonly lease: string; readonly thread: string } | undefined => {
  const [lease = "", thread = ""] = value.split("\n")
  return lease === "!" ? undefined : { lease, thread }
}
