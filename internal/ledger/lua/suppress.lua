-- Adds a suppression and sweeps some that are over.
-- KEYS[1] the suppressions, KEYS[2] their index by end.
local member, till, reason, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', '0', '100')
if #over > 0 then
  redis.call('HDEL', KEYS[1], unpack(over))
  redis.call('ZREM', KEYS[2], unpack(over))
end
redis.call('HSET', KEYS[1], member, till .. ' ' .. reason)
if till == '0' then
  redis.call('ZREM', KEYS[2], member)
else
  redis.call('ZADD', KEYS[2], till, member)
end
return #over
