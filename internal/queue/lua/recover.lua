-- Puts back what no worker handles any more. Running it again does no harm: a task
-- whose lease has not ended is left alone.
-- KEYS: active, lease, pending, then the tasks. ARGV: seconds after the end of a lease,
-- the two numbers of abandoned.lua, then the IDs of the tasks, as abandoned.lua returned
-- them: much may have changed since.
-- Returns {put back, removed because they have no message, leases without a task}.
local time = redis.call('TIME') -- one clock for all workers
local ended, since = time[1] - ARGV[1], time[1] .. string.format('%06d', time[2]) .. '000'
local expired = tonumber(ARGV[2])
local active = expired + tonumber(ARGV[3])
local recovered, missing, stale = 0, 0, 0

local function has_message(task)
  return redis.call('HEXISTS', task, 'msg') == 1
end

local function remove(task)
  redis.call('DEL', task)
  missing = missing + 1
end

local function put_back(id, task)
  if not has_message(task) then
    return remove(task)
  end
  redis.call('HSET', task, 'state', 'pending', 'pending_since', since)
  redis.call('RPUSH', KEYS[3], id)
  recovered = recovered + 1
end

local function of_ended_lease(id, task)
  local till = redis.call('ZSCORE', KEYS[2], id)
  if not till or tonumber(till) >= ended then
    return
  end
  redis.call('ZREM', KEYS[2], id)
  if redis.call('LREM', KEYS[1], 0, id) > 0 then
    put_back(id, task)
  else
    stale = stale + 1
  end
end

local function of_active(id, task)
  if not redis.call('ZSCORE', KEYS[2], id) then
    if redis.call('LREM', KEYS[1], 0, id) > 0 then
      put_back(id, task)
    end
  elseif not has_message(task) then
    redis.call('LREM', KEYS[1], 0, id)
    redis.call('ZREM', KEYS[2], id)
    remove(task)
  end
end

-- An ID without a message at the head would make the queue look empty to asynq.
local function of_head(id, task)
  if not has_message(task) and redis.call('LREM', KEYS[3], -1, id) > 0 then
    remove(task)
  end
end

for i = 1, #ARGV - 3 do
  local id, task = ARGV[3 + i], KEYS[3 + i]
  if i <= expired then
    of_ended_lease(id, task)
  elseif i <= active then
    of_active(id, task)
  else
    of_head(id, task)
  end
end
return {recovered, missing, stale}
