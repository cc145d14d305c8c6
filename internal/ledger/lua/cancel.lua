-- Ends a message of which nothing can have been seen yet.
-- Returns whether it is cancelled now, and the record.
local now, keep = ARGV[1], ARGV[2]
local v = redis.call('HMGET', KEYS[1], 's', 'o')
local s, open = v[1], v[2]
if s == 'q' or s == 'w' or s == 'r' then
  if not open then
    redis.call('HDEL', KEYS[1], 'e', 'r')
    finish('c', now, keep)
    s = 'c'
  end
end
local cancelled = '0'
if s == 'c' then
  cancelled = '1'
end
return {cancelled, redis.call('HGETALL', KEYS[1])}
