-- Puts back what no worker handles any more. Running it again does no harm: a task
-- whose lease has not ended is left alone.
-- KEYS: active, lease, pending. ARGV: prefix of tasks, seconds after the end of a
-- lease, how many to look at.
-- The keys of the tasks are not known before: they share the queue's slot.
-- Returns {put back, removed because they have no message, leases without a task}.
local time = redis.call('TIME') -- one clock for all workers
local ended, since = time[1] - ARGV[2], time[1] .. string.format('%06d', time[2]) .. '000'
local most = tonumber(ARGV[3])
local recovered, missing, stale = 0, 0, 0

local function remove(id)
  redis.call('DEL', ARGV[1] .. id)
  missing = missing + 1
end

local function has_message(id)
  return redis.call('HEXISTS', ARGV[1] .. id, 'msg') == 1
end

local function put_back(id)
  if not has_message(id) then
    return remove(id)
  end
  redis.call('HSET', ARGV[1] .. id, 'state', 'pending', 'pending_since', since)
  redis.call('RPUSH', KEYS[3], id)
  recovered = recovered + 1
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ended, 'LIMIT', 0, most)) do
  redis.call('ZREM', KEYS[2], id)
  if redis.call('LREM', KEYS[1], 0, id) > 0 then
    put_back(id)
  else
    stale = stale + 1
  end
end

-- The oldest active tasks stand at the right end.
for _, id in ipairs(redis.call('LRANGE', KEYS[1], -most, -1)) do
  if not redis.call('ZSCORE', KEYS[2], id) then
    if redis.call('LREM', KEYS[1], 0, id) > 0 then
      put_back(id)
    end
  elseif not has_message(id) then
    redis.call('LREM', KEYS[1], 0, id)
    redis.call('ZREM', KEYS[2], id)
    remove(id)
  end
end

-- An ID without a message at the head would make the queue look empty to asynq.
for _, id in ipairs(redis.call('LRANGE', KEYS[3], -20, -1)) do
  if not has_message(id) then
    redis.call('LREM', KEYS[3], -1, id)
    remove(id)
  end
end
return {recovered, missing, stale}
