-- Puts active tasks back at the head of their queue, in the order in which they are given:
-- those of a delivery, or those without a lease and those whose lease ends at a moment or
-- before. Another worker has the rest by now, as when a call is repeated.
-- KEYS: active, lease, pending, then the tasks. ARGV of each: ID; the number of the
-- delivery, or 0; that moment in Unix seconds; 0 when no worker has had the task, else 1.
-- Returns how many it put back. A task without a message is removed.
local time = redis.call('TIME')
local since = time[1] .. string.format('%06d', time[2]) .. '000'
local moved = 0
for n = #KEYS - 3, 1, -1 do
  local task, id, delivery, ends, had = KEYS[3 + n], ARGV[4 * n - 3], ARGV[4 * n - 2], ARGV[4 * n - 1], ARGV[4 * n]
  local mine
  if delivery ~= '0' then
    mine = redis.call('HGET', task, 'delivered') == delivery
  else
    local lease = redis.call('ZSCORE', KEYS[2], id)
    mine = not lease or tonumber(lease) <= tonumber(ends)
  end
  if mine then
    redis.call('ZREM', KEYS[2], id)
    if redis.call('LREM', KEYS[1], 0, id) == 0 then
      -- It was completed, or is back already.
    elseif redis.call('HEXISTS', task, 'msg') == 0 then
      redis.call('DEL', task)
    else
      redis.call('HSET', task, 'state', 'pending', 'pending_since', since)
      if had == '0' then
        redis.call('HDEL', task, 'delivered')
      end
      redis.call('RPUSH', KEYS[3], id)
      moved = moved + 1
    end
  end
end
return moved
