-- Orders what is heard of a follower by WeChat's own times.
-- KEYS[1] the latest that was heard. ARGV[1] when this was, ARGV[2] '1' for
-- follows or '0', ARGV[3] how long to remember. Returns the latest.
local last = redis.call('GET', KEYS[1])
if last and tonumber(string.match(last, '^%d+')) > tonumber(ARGV[1]) then
  return last
end
local now = ARGV[1] .. ' ' .. ARGV[2]
redis.call('SET', KEYS[1], now, 'PX', ARGV[3])
return now
