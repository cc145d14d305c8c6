-- Takes back what nobody works on any more. Runs again without harm: a task
-- whose lease is alive is left alone.
-- KEYS: active, lease, pending. ARGV: now in seconds, prefix of tasks,
-- now in nanoseconds, how many to look at.
-- Returns {back to the queue, without a message, leases without a task}.
local recovered, missing, stale = 0, 0, 0

local function forget(id)
  redis.call('DEL', ARGV[2] .. id)
  missing = missing + 1
end

local function back(id)
  if redis.call('HEXISTS', ARGV[2] .. id, 'msg') == 0 then return forget(id) end
  redis.call('HSET', ARGV[2] .. id, 'state', 'pending', 'pending_since', ARGV[3])
  redis.call('RPUSH', KEYS[3], id)
  recovered = recovered + 1
end

local ended = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[4])
for _, id in ipairs(ended) do
  redis.call('ZREM', KEYS[2], id)
  if redis.call('LREM', KEYS[1], 0, id) > 0 then back(id) else stale = stale + 1 end
end

-- The oldest active tasks stand at the right end.
local oldest = redis.call('LRANGE', KEYS[1], -tonumber(ARGV[4]), -1)
for _, id in ipairs(oldest) do
  if not redis.call('ZSCORE', KEYS[2], id) then
    if redis.call('LREM', KEYS[1], 0, id) > 0 then back(id) end
  elseif redis.call('HEXISTS', ARGV[2] .. id, 'msg') == 0 then
    redis.call('LREM', KEYS[1], 0, id)
    redis.call('ZREM', KEYS[2], id)
    forget(id)
  end
end

local next = redis.call('LRANGE', KEYS[3], -20, -1)
for _, id in ipairs(next) do
  if redis.call('HEXISTS', ARGV[2] .. id, 'msg') == 0 then
    redis.call('LREM', KEYS[3], -1, id)
    forget(id)
  end
end
return {recovered, missing, stale}
