-- Records an attempt that was not accepted. What is accepted or ended stays.
-- KEYS[3] the index of the dead, KEYS[4] the dead letter.
local now, id, state, errcode, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local attempt, ambiguous, duplicate = ARGV[6], ARGV[7], ARGV[8]
local keep, live, keep_dead, oldest, payload = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]

local v = redis.call('HMGET', KEYS[1], 's', 'k')
local s, earlier = v[1], v[2]
if s == 'a' or ended(s) then
  return 0
end
if attempt == '1' and s == 's' then -- any other state: this very call, replayed
  redis.call('HINCRBY', KEYS[1], 'a', '1')
end
if ambiguous ~= '1' and not earlier then
  redis.call('HDEL', KEYS[1], 'o')
end
if duplicate == '1' then
  redis.call('HSET', KEYS[1], 'd', '1')
end
if errcode == '0' then
  redis.call('HDEL', KEYS[1], 'e')
else
  redis.call('HSET', KEYS[1], 'e', errcode)
end
if reason == '' then
  redis.call('HDEL', KEYS[1], 'r')
else
  redis.call('HSET', KEYS[1], 'r', reason)
end
if not ended(state) then
  redis.call('HSET', KEYS[1], 's', state)
  extend(live)
  return 1
end
if state == 'x' then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', oldest)
  redis.call('ZADD', KEYS[3], now, id)
  redis.call('PEXPIRE', KEYS[3], keep_dead)
  if payload ~= '' then
    redis.call('SET', KEYS[4], payload, 'PX', keep_dead)
  end
  keep = keep_dead
end
finish(state, now, keep)
return 1
