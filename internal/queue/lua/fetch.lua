-- The first half of asynq's dequeue for up to n tasks: takes their IDs, due retries before
-- what waits. It numbers the deliveries and leaves the idle mark when the queue has no
-- more. open.lua is the other half.
-- KEYS: pending, paused, active, lease, idle, deliveries, retry. ARGV: end of the lease in
-- Unix seconds, n, life of the idle mark in ms.
-- Returns the number of the first delivery, then the IDs. Nothing: the queue is empty or
-- paused.
local n, now, ids = tonumber(ARGV[2]), redis.call('TIME'), {}
if redis.call('EXISTS', KEYS[2]) == 0 then
  ids = redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', now[1], 'LIMIT', 0, n)
  if #ids > 0 then
    redis.call('ZREM', KEYS[7], unpack(ids))
  end
  if #ids < n then
    for _, id in ipairs(redis.call('RPOP', KEYS[1], n - #ids) or {}) do
      ids[#ids + 1] = id
    end
  end
end
if #ids < n then
  redis.call('SET', KEYS[5], '1', 'PX', ARGV[3])
end
if #ids == 0 then
  return {}
end
redis.call('LPUSH', KEYS[3], unpack(ids))
local leases = {}
for i, id in ipairs(ids) do
  leases[2 * i - 1], leases[2 * i] = ARGV[1], id
end
redis.call('ZADD', KEYS[4], unpack(leases))

-- A counter. Redis' clock is its least value, so that a counter that was lost (a
-- fail-over, an eviction) does not hand out the numbers of earlier deliveries.
local last = tonumber(redis.call('GET', KEYS[6]) or 0)
local first = math.max(last + 1, now[1] * 1000000 + now[2])
redis.call('SET', KEYS[6], string.format('%.0f', first + #ids - 1))
return {string.format('%.0f', first), unpack(ids)}
