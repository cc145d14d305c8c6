-- The second half of asynq's dequeue: reads the tasks that fetch.lua took, and marks them
-- as active. Until then they lie in the active list under a lease, with the state
-- pending: a worker that ends in between leaves them to recovery. pending_since, which asynq
-- deletes here, stays: it is read of pending tasks only, and each way back there sets it.
-- KEYS: the tasks.
-- Returns for each its message ('' when it has none: recovery removes it), and '1' when it
-- was delivered before, else false.
local out = {}
for _, task in ipairs(KEYS) do
  local old = redis.pcall('HMGET', task, 'msg', 'delivered')
  if not old.err and old[1] then
    redis.call('HSET', task, 'state', 'active', 'delivered', '1')
  end
  out[#out + 1] = not old.err and old[1] or ''
  out[#out + 1] = not old.err and old[2]
end
return out
