-- Puts active tasks back at the head of their queue, in the order in which they were
-- fetched. A task that recovery or another worker has by now stays.
-- KEYS: active, lease, pending, then the tasks. ARGV[1] now in nanoseconds, then of
-- each task: ID; the end of the lease that the fetch wrote, or 0 for any lease; 0 when no
-- worker has had the task, else 1.
for n = #KEYS - 3, 1, -1 do
  local task, at = KEYS[3 + n], 3 * n - 1
  local id, lease = ARGV[at], ARGV[at + 1]
  local ours = lease == '0' or tonumber(redis.call('ZSCORE', KEYS[2], id) or 0) == tonumber(lease)
  if ours and redis.call('LREM', KEYS[1], 1, id) > 0 then
    redis.call('ZREM', KEYS[2], id)
    if redis.call('HEXISTS', task, 'msg') == 1 then
      redis.call('HSET', task, 'state', 'pending', 'pending_since', ARGV[1])
      if ARGV[at + 2] == '0' then
        redis.call('HDEL', task, 'delivered')
      end
      redis.call('RPUSH', KEYS[3], id)
    else
      redis.call('DEL', task)
    end
  end
end
return 'OK'
