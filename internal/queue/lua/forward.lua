-- Moves scheduled tasks that are due to the end of their queue. Another worker may have
-- moved some of them since tend.lua named them.
-- KEYS: scheduled, pending, then the tasks. ARGV: their IDs.
local time = redis.call('TIME') -- one clock for all workers
local since = time[1] .. string.format('%06d', time[2]) .. '000'
for i, id in ipairs(ARGV) do
  local due = redis.call('ZSCORE', KEYS[1], id)
  if due and tonumber(due) <= tonumber(time[1]) then
    redis.call('LPUSH', KEYS[2], id)
    redis.call('ZREM', KEYS[1], id)
    redis.call('HSET', KEYS[2 + i], 'state', 'pending', 'pending_since', since)
  end
end
return 'OK'
