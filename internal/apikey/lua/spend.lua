-- Counts the messages of one API key on one day, once for each call.
-- KEYS: a hash: key id -> messages; the mark of this call.
-- ARGV: key id, how many, limit or -1, the life of the mark in ms.
-- Returns {1, used with these} or {0, used without}.
local used = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
local n, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
if redis.call('EXISTS', KEYS[2]) == 1 then
  return {1, used} -- this very call, repeated after a lost answer
end
if limit >= 0 and n > 0 and used + n > limit then
  return {0, used}
end
used = redis.call('HINCRBY', KEYS[1], ARGV[1], math.max(n, -used))
redis.call('EXPIRE', KEYS[1], 172800)
redis.call('SET', KEYS[2], '1', 'PX', ARGV[4])
return {1, used}
