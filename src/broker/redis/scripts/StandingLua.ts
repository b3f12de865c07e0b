/**
 * Where a user's runs stand: which are active, under whose lease, and which
 * ended.
 *
 * The hash `meta` has, beside what is known of the log, a field for each run that
 *
 * - is active: `lease`, `thread`, the time of its start (nothing if it was not
 *   seen) and `barred`, one a line, and if it was begun in another process `@` and the
 *   name of that. The lease is that of the process that appended last, so a run goes
 *   with whoever drains what was left of it; its commands go where it was begun, or to
 *   whoever took it over. Behind the time there may be a mark, until that process
 *   appends again: `~` says that it let the run go, `>` and a lease who waits for the
 *   run, should that process be dead;
 * - was ended as lost: `!`, the time up to which a start is late, when it was
 *   written down, and `barred`. It takes no more events, from whomever, until it
 *   starts anew; a late start is refused as well;
 * - ended otherwise: the same with `.`. What comes late of it opens nothing, until
 *   it starts anew.
 *
 * A start is late that is not later than the run's ending, or, where the ending is
 * another process's word that it was lost, that is earlier than the run's own
 * start (see `RunFold.isStartedBy`).
 *
 * `barred` are the processes, `,a,b,`, whose lease ran out while the run was
 * theirs, or from which it was taken over: when another goes on with the run or
 * starts it anew, what they still have of it is refused, as is a late start of
 * theirs, also once that has ended. It is mostly empty.
 *
 * A lease is the name of a process and a number, `name.number`.
 *
 * The log's state counts how many runs are active and how many ended (see `LogState`).
 *
 * @since 0.1.0
 */
import type { Envelope } from "../../../protocol/wire/Envelope.ts"
import type { RunId } from "../../../protocol/values/Identity.ts"
import * as RunEvents from "../../../protocol/event/RunEvents.ts"
import * as RedisScript from "./Script.ts"

/**
 * The most runs that ended which are remembered. Those that were lost, or bar a
 * process, stay for as long as their log may.
 *
 * @category limits
 * @since 0.1.0
 */
export const maxEndedRuns = 64

/**
 * Functions over the runs of a batch. A run has a `name`, what there is `besides`
 * (its thread, or for the ending of a lost run its field as it must be found),
 * `kind` (what the batch has of it: 1 a start, 2 an ending, the last of them if
 * there are several but no start that comes late behind another, 0 neither), `at` (when that was) and `value` (its field).
 *
 * @category scripts
 * @since 0.1.0
 */
export const standingLua = `
local function isEnded(value) return value and string.match(value, '^[!.]\\n') and true or false end
local function isUnder(value, lease) return string.sub(value, 1, #lease + 1) == lease .. '\\n' end
local function barredIn(value)
  return value and (string.match(value, '\\n(,[^\\n]*)$') or string.match(value, '\\n(,[^\\n]*)\\n@[^\\n]*$')) or ''
end
local function holderOf(lease) return string.match(lease, '^[^.\\n]*') end

-- The process that a run was begun in, where that is known, or else that which appended last.
local function homeOf(value) return string.match(value, '\\n@([^\\n]*)$') or holderOf(value) end

-- Whether a process is barred from a run.
local function isBarred(value, process) return string.find(barredIn(value), ',' .. process .. ',', 1, true) and true or false end

-- The barred processes without one.
local function without(barred, process)
  local from, to = string.find(barred, ',' .. process .. ',', 1, true)
  if not from then return barred end
  local rest = string.sub(barred, 1, from) .. string.sub(barred, to + 1)
  return rest == ',' and '' or rest
end

-- Whether a start at this time is that of a run which has ended since, and only came late.
local function isLate(value, at)
  local latest = value and string.match(value, '^[!.]\\n(%d+)')
  return latest and at <= tonumber(latest) or false
end

-- The time of an active run's start, as text: nothing if it was not seen.
local function startIn(value) return value and string.match(value, '^[^!.][^\\n]*\\n[^\\n]*\\n(%d*)') or '' end

-- Whether an active run was let go, or somebody waits for it.
local function isMarked(value) return string.find(value, '^[^\\n]*\\n[^\\n]*\\n%d*[~>]') and true or false end

-- Whether a run takes nothing of this lease until it starts anew.
local function isShut(value, lease)
  if not value or isUnder(value, lease) then return false end
  return string.sub(value, 1, 2) == '!\\n' or isBarred(value, holderOf(lease))
end

-- The runs of a batch, which came as lists of four.
local function readRuns(lists)
  local runs = {}
  for n, list in ipairs(lists) do runs[n] = { name = list[1], besides = list[2], kind = list[3], at = list[4] } end
  return runs
end

-- Gives each run its field.
local function readStanding(keys, log, runs)
  if #runs == 0 or log.isNew then return end
  local names = {}
  for n, run in ipairs(runs) do names[n] = run.name end
  local found = redis.call('HMGET', keys.meta, unpack(names))
  for n, run in ipairs(runs) do run.value = found[n] end
end

-- Calls for each event with its time, type and run. In its array a header tells an event's type first and its run third.
local function eachHeader(events, see)
  local isHeader = true
  for line in string.gmatch(events, '[^\\n]+') do
    if isHeader then
      local header = cjson.decode(string.match(line, '%[.*'))
      see(tonumber(string.match(line, '^%d+')), header[1], header[3])
    end
    isHeader = not isHeader
  end
end

-- The runs that something new of the batch is refused of, since they were ended as lost.
local function refusedRuns(runs, lease, batch, sources)
  local shut, isSomeShut, refused = {}, false, {}
  for _, run in ipairs(runs) do
    if isShut(run.value, lease) then shut[run.name], isSomeShut = run.value, true end
  end
  if not isSomeShut then return refused end
  for _, block in ipairs(batch) do
    local stretch, number, upTo = 0, 0, 0
    eachHeader(block.events, function(at, type, run)
      number = number + 1
      if number > upTo then
        stretch = stretch + 1
        number = block.stretches[stretch].from
        upTo = number + block.stretches[stretch].count - 1
      end
      if not shut[run] or isTaken(sources[block.stretches[stretch].source], number) then return end
      if type ~= '${RunEvents.started}' or isLate(shut[run], at) then refused[#refused + 1] = run end
      shut[run] = nil
    end)
  end
  return refused
end

-- What was taken of each run, where that is not all of the batch.
local function recount(runs, added)
  local byName = {}
  for _, run in ipairs(runs) do
    run.kind = -1
    byName[run.name] = run
  end
  for _, block in ipairs(added) do
    eachHeader(block.events, function(at, type, name)
      local run = byName[name]
      if not run then return end
      if type == '${RunEvents.started}' then
        if run.kind < 1 or at > run.at then run.kind, run.at = 1, at end
      elseif type == '${RunEvents.completed}' or type == '${RunEvents.failed}' then
        run.kind, run.at = 2, at
      elseif run.kind < 0 then
        run.kind = 0
      end
    end)
  end
end

-- The field of a run that ended.
local function endedField(mark, latestStart, now, barred)
  return mark .. '\\n' .. text(latestStart) .. '\\n' .. text(now) .. '\\n' .. barred
end

-- The field of a run that is active, and was begun by a process.
local function activeField(lease, thread, startedAt, barred, home)
  local begun = home == holderOf(lease) and '' or '\\n@' .. home
  return lease .. '\\n' .. thread .. '\\n' .. startedAt .. '\\n' .. barred .. begun
end

-- A run's field after the batch; nothing where it stays as it is.
local function standingAfter(run, lease, now)
  local value, barred = run.value, barredIn(run.value)
  if run.kind < 0 then return nil end
  if run.kind == 2 then
    -- What was shut and is not refused began anew within the batch.
    if isShut(value, lease) then barred = without(barred, holderOf(lease)) end
    return endedField('.', run.at, now, barred)
  end
  if run.kind == 1 and not isLate(value, run.at) then
    return activeField(lease, run.besides, text(run.at), without(barred, holderOf(lease)), holderOf(lease))
  end
  if isEnded(value) or value and isUnder(value, lease) and not isMarked(value) then return nil end
  return activeField(lease, run.besides, startIn(value), barred, homeOf(value or lease))
end

-- A run's field after it was ended as lost: whoever held it is barred.
local function lostAfter(run, now)
  local barred, startedAt = barredIn(run.value), tonumber(startIn(run.value))
  local after = (barred == '' and ',' or barred) .. holderOf(run.value) .. ','
  return endedField('!', startedAt and math.max(startedAt - 1, 0) or run.at, now, after)
end

-- The fields to set where runs stand otherwise after the batch, names and values by turns. The log counts them.
local function standingFields(runs, log, after)
  local fields = {}
  for _, run in ipairs(runs) do
    local value = after(run)
    if value then
      fields[#fields + 1] = run.name
      fields[#fields + 1] = value
      if isEnded(run.value) then log.ended = log.ended - 1
      elseif run.value then log.active = log.active - 1 end
      if isEnded(value) then log.ended = log.ended + 1 else log.active = log.active + 1 end
    end
  end
  return fields
end

-- The ended runs to forget once they are too many: all but the latest half; of those that were lost or that bar a process,
-- and none of which can be among them, those whose log is gone.
local function endedToForget(keys, fields, log, now, limits)
  local forgotten = {}
  if log.ended <= ${maxEndedRuns} then return forgotten end
  local kept, ended = {}, {}
  for i = 1, #fields, 2 do kept[fields[i]] = true end
  local all = redis.call('HGETALL', keys.meta)
  for i = 1, #all, 2 do
    local mark, at, barred = string.match(all[i + 1], '^([!.])\\n%d+\\n(%d+)\\n(.*)')
    if mark and not kept[all[i]] then
      if mark == '.' and barred == '' then ended[#ended + 1] = { tonumber(at), all[i] }
      elseif tonumber(at) < now - limits.ttl then forgotten[#forgotten + 1] = all[i] end
    end
  end
  table.sort(ended, function(a, b) return a[1] > b[1] end)
  for i = ${maxEndedRuns / 2} + 1, #ended do forgotten[#forgotten + 1] = ended[i][2] end
  return forgotten
end
`

/**
 * Puts the runs that are active under one lease under another. `KEYS`: meta.
 * `ARGV`: the two leases.
 *
 * @category scripts
 * @since 0.1.0
 */
export const carryOver = RedisScript.make(`
local all, fields = redis.call('HGETALL', KEYS[1]), {}
local from = ARGV[1] .. '\\n'
for i = 1, #all, 2 do
  if string.sub(all[i + 1], 1, #from) == from then
    fields[#fields + 1] = all[i]
    fields[#fields + 1] = ARGV[2] .. string.sub(all[i + 1], #from)
  end
end
for i = 1, #fields, 1000 do redis.call('HSET', KEYS[1], unpack(fields, i, math.min(i + 999, #fields))) end
return #fields / 2
`)

/**
 * A run of a batch (see `standingLua`): its name, what is `besides`, its kind and time.
 *
 * @category models
 * @since 0.2.0
 */
export type BatchRun = readonly [name: RunId, besides: string, kind: 0 | 1 | 2, at: number]

/**
 * Says that a batch is not of one run under way alone, or of none. No name is a space.
 *
 * @category constants
 * @since 0.2.0
 */
export const many = " "

/**
 * The run that a batch goes on with where there is nothing else to it, nothing where it is
 * of no run, and else `many`.
 *
 * @category conversions
 * @since 0.2.0
 */
export const onlyRun = ([first, ...others]: ReadonlyArray<BatchRun>): string => {
  if (first === undefined) return ""
  return others.length === 0 && first[2] === 0 ? first[0] : many
}

/**
 * The runs of a batch.
 *
 * @category conversions
 * @since 0.1.0
 */
export const runsOf = (
  batch: ReadonlyArray<Envelope>,
  besides: (envelope: Envelope, run: RunId) => string
): ReadonlyArray<BatchRun> => {
  const runs = new Map<RunId, { readonly besides: string; kind: 0 | 1 | 2; at: number }>()
  for (const envelope of batch) {
    const { at, run, type } = envelope
    if (run === undefined) continue
    let found = runs.get(run)
    if (found === undefined) {
      found = { besides: besides(envelope, run), kind: 0, at }
      runs.set(run, found)
    }
    const isStart = RunEvents.isStart(type)
    if (!isStart && !RunEvents.isTerminal(type) || isStart && found.kind !== 0 && at <= found.at) continue
    found.kind = isStart ? 1 : 2
    found.at = at
  }
  return Array.from(runs, ([run, { at, besides, kind }]) => [run, besides, kind, at])
}

/**
 * What a field tells of a run that is active. `startedAt` is as it
 * stands there, empty if it is not known; `mark` is `~`, `>` and a lease, or empty;
 * `home` is the process that it was begun in, empty if that is the holder.
 *
 * @category models
 * @since 0.1.0
 */
export interface ActiveField {
  readonly lease: string
  readonly thread: string
  readonly startedAt: string
  readonly mark: string
  readonly barred: string
  readonly home: string
}

/**
 * Reads the field of a run; nothing where its run has ended.
 *
 * @category conversions
 * @since 0.1.0
 */
export const readActive = (value: string): ActiveField | undefined => {
  const [lease = "", thread, start = "", barred = "", home = ""] = value.split("\n")
  if (lease === "!" || lease === "." || thread === undefined) return undefined
  const [, startedAt = "", mark = ""] = /^(\d*)(.*)$/.exec(start) ?? []
  return { lease, thread, startedAt, mark, barred, home: home.slice(1) }
}

/**
 * Writes the field of a run.
 *
 * @category conversions
 * @since 0.1.0
 */
export const writeActive = ({ barred, home, lease, mark, startedAt, thread }: ActiveField): string =>
  `${lease}\n${thread}\n${startedAt}${mark}\n${barred}${home === "" ? "" : `\n@${home}`}`

/**
 * The mark of a run that was let go.
 *
 * @category constants
 * @since 0.1.0
 */
export const free = "~"

/**
 * The mark of a run that the holder of a lease waits for.
 *
 * @category conversions
 * @since 0.1.0
 */
export const waitingFor = (lease: string): string => `>${lease}`

/**
 * The lease whose holder waits for a run.
 *
 * @category getters
 * @since 0.1.0
 */
export const heirIn = ({ mark }: ActiveField): string | undefined => mark.startsWith(">") ? mark.slice(1) : undefined

/**
 * The process that a lease is of.
 *
 * @category getters
 * @since 0.1.0
 */
export const holderOf = (lease: string): string => lease.replace(/\..*$/, "")

// So many of the processes that a run was taken from are remembered: those before them have been silent for long.
const maxBarred = 64

/**
 * The field of a run that was taken over by the holder of another lease: whoever
 * had it is barred, and its commands go to the new holder.
 *
 * @category conversions
 * @since 0.1.0
 */
export const takenOver = (field: ActiveField, lease: string, mark = ""): ActiveField => {
  const [from, to] = [holderOf(field.lease), holderOf(lease)]
  const others = field.barred.split(",").filter((process) => process !== "" && process !== from && process !== to)
  const barred = (from === to ? others : [...others, from]).slice(-maxBarred)
  return { ...field, lease, mark, home: "", barred: barred.length === 0 ? "" : `,${barred.join(",")},` }
}

/**
 * Sets a run's field if it still stands as it was found. `KEYS`: meta. `ARGV`: the
 * run, its field as found and the new one. Gives 1 if it did.
 *
 * @category scripts
 * @since 0.1.0
 */
export const replaceField = RedisScript.make(`
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
`)
