-- Reads one queue, but for its tasks: sample.lua reads some of them. The cost does not
-- grow with the queue.
-- KEYS: active, pending, scheduled, retry, archived, completed, paused, processed,
-- failed, processed of the day, failed of the day.
-- ARGV[1]: number of tasks to name of each state.
-- Returns texts: the sizes of the first six keys, the four counters, what the key of the pause
-- holds ('' when not paused). Then for each named task its state (1 to 6) and its ID.
local function number(key) return tonumber(redis.call('GET', key)) or 0 end

local sample = tonumber(ARGV[1])
local out, named = {}, {}
for i = 1, 6 do
  local ids
  if i <= 2 then
    out[i] = redis.call('LLEN', KEYS[i])
    ids = redis.call('LRANGE', KEYS[i], -sample, -1)
  else
    out[i] = redis.call('ZCARD', KEYS[i])
    ids = redis.call('ZRANGE', KEYS[i], 0, sample - 1)
  end
  for _, id in ipairs(ids) do
    named[#named + 1] = tostring(i)
    named[#named + 1] = id
  end
end
for i = 8, 11 do out[i - 1] = number(KEYS[i]) end
for i = 1, #out do out[i] = string.format('%.0f', out[i]) end
out[11] = redis.call('GET', KEYS[7]) or ''
for _, value in ipairs(named) do out[#out + 1] = value end
return out
