-- Removes the accepted messages whose receipt did not come in time.
-- KEYS: whose receipts are awaited. ARGV: accepted up to this time, how many at
-- most. Returns their ids.
local missing = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', '0', ARGV[2])
if #missing > 0 then
  redis.call('ZREM', KEYS[1], unpack(missing))
end
return missing
