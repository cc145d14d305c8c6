-- Moves due retries to the head of the queue, where asynq's script moves them
-- behind the backlog. They keep their order: while some that were moved before
-- still stand at the head (they carry a mark), the next ones wait.
-- KEYS: retry, pending. ARGV: now in seconds, prefix of tasks, now in nanoseconds.
local head = redis.call('LINDEX', KEYS[2], -1)
if head and redis.call('HGET', ARGV[2] .. head, 'ahead') then return 0 end
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 500)
for i = #ids, 1, -1 do
  redis.call('RPUSH', KEYS[2], ids[i])
  redis.call('ZREM', KEYS[1], ids[i])
  redis.call('HSET', ARGV[2] .. ids[i], 'state', 'pending', 'pending_since', ARGV[3], 'ahead', 1)
end
return #ids
