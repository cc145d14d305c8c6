-- Puts an active task back at the head of its queue.
-- KEYS: task, active, lease, pending. ARGV: ID, now in nanoseconds.
-- Returns 1, or 0 when the task is not active: recovery has put it back before.
if redis.call('LREM', KEYS[2], -1, ARGV[1]) == 0 then
  return 0
end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'pending', 'pending_since', ARGV[2])
redis.call('RPUSH', KEYS[4], ARGV[1])
return 1
