-- Replaces a segment by what is left of it, unless it was changed since it was read.
-- KEYS: the segment, the list of segments, the count of erasures. ARGV: how many pieces
-- it had when it was read, the count of erasures then, its name in the list, then the
-- pieces that are left.
-- Returns 1 when it was replaced.
if redis.call('LLEN', KEYS[1]) ~= tonumber(ARGV[1]) or (redis.call('GET', KEYS[3]) or '0') ~= ARGV[2] then
  return 0
end
local life = redis.call('PTTL', KEYS[1])
redis.call('DEL', KEYS[1])
if #ARGV == 3 then
  redis.call('ZREM', KEYS[2], ARGV[3])
  return 1
end
for i = 4, #ARGV do
  redis.call('RPUSH', KEYS[1], ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], math.max(life, 1))
return 1
