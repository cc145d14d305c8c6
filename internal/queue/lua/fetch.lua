-- asynq's dequeue for up to n tasks, with the same effects; and it numbers the
-- deliveries and leaves the idle mark when the queue has no more.
-- KEYS: pending, paused, active, lease, idle, deliveries, ARGV: end of the lease in
-- Unix seconds, prefix of tasks, n, life of the idle mark in ms.
-- The keys of the tasks are not known before: they share the queue's slot.
-- Returns the number of the first delivery; then for each task its ID, its message
-- ('' when it has none: recovery removes it) and whether it was delivered before.
-- Nothing but the number: the queue is empty or paused.
local n = tonumber(ARGV[3])
local ids = redis.call('EXISTS', KEYS[2]) == 0 and redis.call('RPOP', KEYS[1], n) or {}
if #ids < n then
  redis.call('SET', KEYS[5], '1', 'PX', ARGV[4])
end
if #ids == 0 then
  return {'0'}
end
redis.call('LPUSH', KEYS[3], unpack(ids))
local leases = {}
for i, id in ipairs(ids) do
  leases[2 * i - 1], leases[2 * i] = ARGV[1], id
end
redis.call('ZADD', KEYS[4], unpack(leases)) -- before what may fail

-- A counter. Redis' clock is its least value, so that a counter that was lost (a
-- fail-over, an eviction) does not hand out the numbers of earlier deliveries.
local now = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[6]) or 0)
local first = math.max(last + 1, now[1] * 1000000 + now[2])
redis.call('SET', KEYS[6], string.format('%.0f', first + #ids - 1))

local out = {string.format('%.0f', first)}
for i, id in ipairs(ids) do
  local task = ARGV[2] .. id
  local old = redis.pcall('HMGET', task, 'msg', 'delivered')
  if not old.err and old[1] then
    redis.call('HSET', task, 'state', 'active', 'delivered', '1')
    redis.call('HDEL', task, 'pending_since')
  end
  out[#out + 1] = id
  out[#out + 1] = not old.err and old[1] or ''
  out[#out + 1] = not old.err and old[2] or '0'
end
return out
