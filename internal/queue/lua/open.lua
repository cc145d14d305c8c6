-- The second half of asynq's dequeue: reads the tasks that fetch.lua took, and marks them
-- as active. Until then they lie in the active list under a lease, with the state
-- pending: a worker that ends in between leaves them to recovery. pending_since, which asynq
-- deletes here, stays: it is read of pending tasks only, and each way back there sets it.
-- KEYS: active, lease, then the tasks. ARGV: the number of the first one's delivery, then
-- their IDs.
-- Returns for each its message ('' when it has none: it is removed), and the number of the
-- delivery before, false when there was none.
local out = {}
for i = 1, #KEYS - 2 do
  local task, id = KEYS[2 + i], ARGV[1 + i]
  local old = redis.pcall('HMGET', task, 'msg', 'delivered')
  local message = not old.err and old[1]
  if message then
    redis.call('HSET', task, 'state', 'active', 'delivered', string.format('%.0f', ARGV[1] + i - 1))
  else
    redis.call('LREM', KEYS[1], 1, id)
    redis.call('ZREM', KEYS[2], id)
    redis.call('DEL', task)
  end
  out[#out + 1] = message or ''
  out[#out + 1] = message and old[2]
end
return out
