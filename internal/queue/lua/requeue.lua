-- Puts an active task back at the head of its queue, in place of asynq's retry.
-- KEYS: task, active, lease, pending. ARGV: ID, message, now in nanoseconds.
if redis.call('LREM', KEYS[2], -1, ARGV[1]) == 0 then
  return redis.error_reply('NOT FOUND')
end
if redis.call('ZREM', KEYS[3], ARGV[1]) == 0 then
  return redis.error_reply('NOT FOUND')
end
redis.call('HSET', KEYS[1], 'msg', ARGV[2], 'state', 'pending', 'pending_since', ARGV[3])
redis.call('RPUSH', KEYS[4], ARGV[1])
return redis.status_reply('OK')
