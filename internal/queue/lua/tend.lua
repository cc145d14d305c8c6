-- What a queue needs. Where no task may be fetched it leaves the idle mark, so that the
-- next enqueue wakes this worker.
-- KEYS: idle, pending, paused, retry, scheduled, active, lease. ARGV: life of the mark in
-- ms; seconds after the end of a lease until its task is taken for abandoned; how many
-- tasks of a kind; the longest lease in seconds, clocks that differ included.
-- Returns Redis' time in Unix microseconds, whether a task may be fetched, and how many
-- scheduled tasks are due; then the IDs of these, and of the active tasks that no worker
-- has any more.
local time = redis.call('TIME')
local now = tonumber(time[1])
local fetchable = redis.call('EXISTS', KEYS[3]) == 0 and
  (redis.call('LLEN', KEYS[2]) > 0 or #redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, 1) > 0)
if not fetchable then
  redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
end
local out = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now, 'LIMIT', 0, ARGV[3])
table.insert(out, 1, time[1] .. string.format('%06d', time[2]))
table.insert(out, 2, fetchable and '1' or '0')
table.insert(out, 3, tostring(#out - 2))
local oldest = redis.call('LRANGE', KEYS[6], -20, -1) -- the oldest one stands last
if #oldest == 0 then
  return out
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', now - ARGV[2], 'LIMIT', 0, ARGV[3])) do
  out[#out + 1] = id
end
-- A clock that was further ahead wrote these. A worker that lives extends them.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[7], '(' .. now + ARGV[4], '+inf', 'LIMIT', 0, ARGV[3])) do
  redis.call('ZADD', KEYS[7], now + ARGV[4], id)
end
for i = #oldest, 1, -1 do
  if not redis.call('ZSCORE', KEYS[7], oldest[i]) then
    out[#out + 1] = oldest[i]
  end
end
return out
