-- Moves what is due to the queue: retries to its head, in their order, and
-- scheduled tasks to its end. asynq's own script moves retries behind the backlog.
-- While retries that were moved before are still at the head (they carry a mark),
-- the next ones wait, so that the order holds.
-- KEYS: retry, scheduled, pending. ARGV: prefix of tasks, how many of each.
-- The keys of the tasks are not known before: they share the queue's slot.
-- Returns how many were moved.
local time = redis.call('TIME') -- one clock for all workers
local now, since = time[1], time[1] .. string.format('%06d', time[2]) .. '000'
local moved = 0

local function due(set)
  return redis.call('ZRANGEBYSCORE', set, '-inf', now, 'LIMIT', 0, ARGV[2])
end

local head = redis.call('LINDEX', KEYS[3], -1)
if not (head and redis.call('HGET', ARGV[1] .. head, 'ahead')) then
  local ids = due(KEYS[1])
  for i = #ids, 1, -1 do
    redis.call('RPUSH', KEYS[3], ids[i])
    redis.call('ZREM', KEYS[1], ids[i])
    redis.call('HSET', ARGV[1] .. ids[i], 'state', 'pending', 'pending_since', since, 'ahead', 1)
  end
  moved = #ids
end
local ids = due(KEYS[2])
for _, id in ipairs(ids) do
  redis.call('LPUSH', KEYS[3], id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('HSET', ARGV[1] .. id, 'state', 'pending', 'pending_since', since)
end
return moved + #ids
