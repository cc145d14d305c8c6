-- Counts the accepted messages whose receipt did not come in time.
-- KEYS[1] whose receipt is awaited, KEYS[2] the day's counts. ARGV: accepted up
-- to this moment, how many at most.
local missing = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', '0', ARGV[2])
if #missing > 0 then
  redis.call('ZREM', KEYS[1], unpack(missing))
  count('m', #missing)
end
return #missing
