-- Cuts the life of a cancelled record whose task was taken off its queue, unless
-- another Enqueue put one meanwhile.
-- KEYS[1] the record. ARGV[1] how long it is kept after its end, in ms.
local v = redis.call('HMGET', KEYS[1], 's', 'y')
if v[1] == 'c' and not v[2] and redis.call('PTTL', KEYS[1]) > tonumber(ARGV[1]) then
  return redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 0
