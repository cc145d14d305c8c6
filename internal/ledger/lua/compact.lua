-- Replaces a segment by what is left of it, unless it was changed since it was read.
-- KEYS: the segment, the list of segments, the count of erasures. ARGV: its length when
-- it was read, the count of erasures then, what is left, its name in the list.
-- Returns 1 when it was replaced.
if redis.call('STRLEN', KEYS[1]) ~= tonumber(ARGV[1]) or (redis.call('GET', KEYS[3]) or '0') ~= ARGV[2] then
  return 0
end
if ARGV[3] == '' then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[4])
else
  local life = redis.call('PTTL', KEYS[1])
  redis.call('SET', KEYS[1], ARGV[3])
  redis.call('PEXPIRE', KEYS[1], math.max(life, 1))
end
return 1
