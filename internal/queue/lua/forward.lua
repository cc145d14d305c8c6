-- Moves what is due to the queue: retries to its head, in their order, and
-- scheduled tasks to its end. asynq's own script moves retries behind the backlog.
-- While retries that were moved before are still at the head, the next ones wait, so
-- that the order holds.
-- KEYS: retry, scheduled, pending, the set of the retries that were moved last, then the
-- tasks. ARGV: number of retries, life of the set in seconds, then the IDs of the tasks,
-- retries first. Another worker may have moved some of them since due.lua named them.
-- Returns how many were moved.
local time = redis.call('TIME') -- one clock for all workers
local now, since = tonumber(time[1]), time[1] .. string.format('%06d', time[2]) .. '000'
local retries, moved = tonumber(ARGV[1]), 0

local function move(set, i, push)
  local id = ARGV[2 + i]
  local due = redis.call('ZSCORE', set, id)
  if not due or tonumber(due) > now then
    return false
  end
  redis.call(push, KEYS[3], id)
  redis.call('ZREM', set, id)
  redis.call('HSET', KEYS[4 + i], 'state', 'pending', 'pending_since', since)
  moved = moved + 1
  return true
end

local head = redis.call('LINDEX', KEYS[3], -1)
if retries > 0 and not (head and redis.call('SISMEMBER', KEYS[4], head) == 1) then
  local ahead = {}
  for i = retries, 1, -1 do
    if move(KEYS[1], i, 'RPUSH') then
      ahead[#ahead + 1] = ARGV[2 + i]
    end
  end
  if #ahead > 0 then
    redis.call('DEL', KEYS[4])
    redis.call('SADD', KEYS[4], unpack(ahead))
    redis.call('EXPIRE', KEYS[4], ARGV[2])
  end
end
for i = retries + 1, #ARGV - 2 do
  move(KEYS[2], i, 'LPUSH')
end
return moved
