-- Puts tasks that were fetched and never handled back at the head of their queue,
-- in the order in which they were fetched. A task whose lease is not the one that
-- the fetch wrote belongs to another worker by now and stays.
-- KEYS: active, lease, pending, then the tasks. ARGV[1] now in nanoseconds, then of
-- each task the ID, the end of its lease and whether it was delivered before.
-- Returns how many went back.
local back = 0
for n = #KEYS - 3, 1, -1 do
  local task, at = KEYS[3 + n], 3 * n - 1
  local id = ARGV[at]
  local lease = redis.call('ZSCORE', KEYS[2], id)
  if lease and tonumber(lease) == tonumber(ARGV[at + 1]) and redis.call('LREM', KEYS[1], 1, id) > 0 then
    redis.call('ZREM', KEYS[2], id)
    if redis.call('HEXISTS', task, 'msg') == 1 then
      redis.call('HSET', task, 'state', 'pending', 'pending_since', ARGV[1])
      if ARGV[at + 2] == '0' then
        redis.call('HDEL', task, 'delivered')
      end
      redis.call('RPUSH', KEYS[3], id)
      back = back + 1
    else
      redis.call('DEL', task)
    end
  end
end
return back
