-- Moves due retries to the head of the queue, where asynq's script moves them
-- behind the backlog. The last due go first, so that the first due end up
-- nearest to the head, over several calls too.
-- KEYS: retry, pending. ARGV: now in seconds, prefix of tasks, now in nanoseconds.
local ids = redis.call('ZREVRANGEBYSCORE', KEYS[1], ARGV[1], '-inf', 'LIMIT', 0, 100)
for _, id in ipairs(ids) do
  redis.call('RPUSH', KEYS[2], id)
  redis.call('ZREM', KEYS[1], id)
  redis.call('HSET', ARGV[2] .. id, 'state', 'pending', 'pending_since', ARGV[3])
end
return #ids
