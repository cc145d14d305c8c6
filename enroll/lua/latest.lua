-- Orders what is heard of a follower by WeChat's own times.
-- KEYS[1] the time last heard of. ARGV[1] this one, ARGV[2] how long to remember.
local last = redis.call('GET', KEYS[1])
if last and tonumber(last) > tonumber(ARGV[1]) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
