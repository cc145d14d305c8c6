-- Counts the messages of one API key on one day.
-- KEYS[1] a hash: key id -> messages. ARGV: key id, how many, limit or -1.
-- Returns {1, used with these} or {0, used without}.
local used = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
local n, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
if limit >= 0 and n > 0 and used + n > limit then
  return {0, used}
end
used = redis.call('HINCRBY', KEYS[1], ARGV[1], math.max(n, -used))
redis.call('EXPIRE', KEYS[1], 172800)
return {1, used}
