/**
 * Which numbers of a source a log has taken, so that it takes each once.
 *
 * The hash `sources` has a field for each source: its last offset and the
 * numbers taken, `offset;from-to,from-to`. Its own field ` ` has the log's head
 * when it was written last and the number of sources, `offset;count`.
 *
 * Of the source of the last event the log's state tells what is taken (see
 * `LogState`): its field is older, until an event of another source comes.
 *
 * @since 0.1.0
 */

/**
 * Lua functions over the numbers that a log has taken of each source.
 *
 * @category scripts
 * @since 0.1.0
 */
export const sourcesLua = `
-- What is known of a source: the offset of its last event, and the ranges taken.
local function toSource(saved)
  local source = { offset = 0, ranges = {}, isNew = not saved, isChanged = false }
  if saved then
    source.offset = tonumber(string.match(saved, '^%d+'))
    for from, to in string.gmatch(saved, '(%d+)-(%d+)') do
      source.ranges[#source.ranges + 1] = { tonumber(from), tonumber(to) }
    end
  end
  return source
end

-- What is known of the sources of a batch and of the last event's, by name, and the number of all. They must be of the same
-- time as the log.
local function readSources(keys, log, names)
  local found = redis.call('HMGET', keys.sources, ' ', unpack(names))
  local at, count = string.match(found[1] or '0;0', '^(%d+);(%d+)$')
  if not log.isNew and tonumber(at) ~= log.sourced then torn(log.epoch, 'its sources are of another time') end
  local sources, added = {}, 0
  for i, name in ipairs(names) do
    local saved = not log.isNew and found[i + 1]
    if not saved then added = added + 1 end
    if name ~= log.source then sources[name] = toSource(saved) end
  end
  count = log.isNew and 0 or tonumber(count)
  if added > 0 and count > 0 and redis.call('HLEN', keys.sources) ~= count + 1 then
    torn(log.epoch, 'its sources are not all there')
  end
  if log.source ~= '' then
    sources[log.source] = toSource(text(log.last) .. ';' .. log.taken)
    sources[log.source].isChanged = true
  end
  return sources, count
end

-- Whether a number was taken.
local function isTaken(source, number)
  for _, range in ipairs(source.ranges) do
    if range[1] <= number and number <= range[2] then return true end
  end
  return false
end

-- Takes the numbers from one to another, unless one of them was taken.
local function takeNumbers(ranges, from, to, maxRanges)
  local i = #ranges
  while i > 0 and ranges[i][1] > from do i = i - 1 end
  local below, above = ranges[i], ranges[i + 1]
  if below and from <= below[2] or above and to >= above[1] then return false end
  local joinsBelow = below and below[2] + 1 == from
  local joinsAbove = above and above[1] == to + 1
  if joinsBelow and joinsAbove then
    below[2] = above[2]
    table.remove(ranges, i + 1)
  elseif joinsBelow then
    below[2] = to
  elseif joinsAbove then
    above[1] = from
  else
    table.insert(ranges, i + 1, { from, to })
    if #ranges > maxRanges then table.remove(ranges, 1) end
  end
  return true
end

-- The sources to forget: of those without an event in the log all but so many, the ones whose last event is the oldest.
-- Looking through all of them is left to every 32nd that is new.
local function sourcesToForget(keys, log, sources, count, added, maxSpent)
  if math.floor((count + added) / 32) <= math.floor(count / 32) then return {} end
  local all, spent, forgotten = redis.call('HGETALL', keys.sources), {}, {}
  for i = 1, #all, 2 do
    local name = all[i]
    local offset = name ~= ' ' and not sources[name] and tonumber(string.match(all[i + 1], '^%d+'))
    if offset and offset < log.first then spent[#spent + 1] = { offset, name } end
  end
  table.sort(spent, function(a, b) return a[1] > b[1] end)
  for i = maxSpent + 1, #spent do forgotten[#forgotten + 1] = spent[i][2] end
  return forgotten
end

-- The numbers taken of a source, as text.
local function takenOf(source)
  local ranges = {}
  for i, range in ipairs(source.ranges) do ranges[i] = text(range[1]) .. '-' .. text(range[2]) end
  return table.concat(ranges, ',')
end

-- The fields to set for the sources that an append changed: names and values by turns.
local function sourceFields(log, sources, count)
  local fields = { ' ', text(log.sourced) .. ';' .. text(count) }
  for name, source in pairs(sources) do
    if source.isChanged then
      fields[#fields + 1] = name
      fields[#fields + 1] = text(source.offset) .. ';' .. (name == log.source and log.taken or takenOf(source))
    end
  end
  return fields
end
`
