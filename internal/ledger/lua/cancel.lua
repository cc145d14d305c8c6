-- Ends a message of which nothing can have been seen yet.
-- Its task may still wait, months ahead even, and the record alone keeps it from
-- being sent: so the record's life is not cut here but when the task is gone.
-- Returns whether it is cancelled now, and the record.
local now, keep = ARGV[1], ARGV[2]
local v = redis.call('HMGET', KEYS[1], 's', 'o')
local s, open = v[1], v[2]
if s == 'q' or s == 'w' or s == 'r' then
  if not open then
    redis.call('HDEL', KEYS[1], 'e', 'r')
    redis.call('HSET', KEYS[1], 's', 'c', 'z', now)
    extend(keep)
    count('c')
    s = 'c'
  end
end
local cancelled = '0'
if s == 'c' then
  cancelled = '1'
  redis.call('HDEL', KEYS[1], 'y')
end
return {cancelled, redis.call('HGETALL', KEYS[1])}
