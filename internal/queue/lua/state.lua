-- Reads one queue in one step. The cost does not grow with the queue.
-- KEYS: active, pending, scheduled, retry, archived, completed, paused, processed,
-- failed, processed of the day, failed of the day.
-- ARGV: prefix of the task keys, number of tasks to sample in each state.
-- Returns numbers: the sizes of the first six keys; 1 when paused; the time of the
-- pause in Unix seconds; the four counters; when the next pending task became
-- pending, in Unix nanoseconds, 0 when unknown; the estimated bytes, 0 when Redis
-- refuses MEMORY USAGE; how many sampled tasks have no message.
local function number(key) return tonumber(redis.call('GET', key)) or 0 end

local function bytes(key)
  local n = redis.pcall('MEMORY', 'USAGE', key)
  return type(n) == 'number' and n or 0
end

local sample = tonumber(ARGV[2])
local out, memory, missing, since = {}, 0, 0, '0'
for i = 1, 6 do
  local ids
  if i <= 2 then
    out[i] = redis.call('LLEN', KEYS[i])
    ids = redis.call('LRANGE', KEYS[i], -sample, -1)
  else
    out[i] = redis.call('ZCARD', KEYS[i])
    ids = redis.call('ZRANGE', KEYS[i], 0, sample - 1)
  end
  local total = 0
  for _, id in ipairs(ids) do
    total = total + bytes(ARGV[1] .. id)
    if redis.call('HEXISTS', ARGV[1] .. id, 'msg') == 0 then missing = missing + 1 end
  end
  if #ids > 0 then memory = memory + bytes(KEYS[i]) + total / #ids * out[i] end
  if i == 2 and #ids > 0 then
    since = redis.call('HGET', ARGV[1] .. ids[#ids], 'pending_since') or '0'
  end
end
out[7] = redis.call('EXISTS', KEYS[7])
for i = 7, 11 do out[i + 1] = number(KEYS[i]) end
out[13] = since
out[14] = math.floor(memory)
out[15] = missing
return out
