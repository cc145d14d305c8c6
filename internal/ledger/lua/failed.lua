-- Records an attempt that was not accepted. What is accepted or ended stays.
-- KEYS[3] the index of the dead, KEYS[4] the dead letter, KEYS[5] what is under
-- way to the recipient.
local now, id, state, errcode, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local attempt, ambiguous, duplicate = ARGV[6], ARGV[7], ARGV[8]
local keep, live, keep_dead, oldest, payload = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local to, near, class = ARGV[14], ARGV[15], ARGV[16]

local v = redis.call('HMGET', KEYS[1], 's', 'k', 'o', 'v', 'w')
local s, earlier, open, erased, due = v[1], v[2], v[3], v[4], v[5]
if s == 'a' or ended(s) or due then
  return 0
end
if not s then
  restore(class, to)
end
if attempt == '1' and s == 's' then -- any other state: this very call, replayed
  redis.call('HINCRBY', KEYS[1], 'a', '1')
end
if ambiguous ~= '1' and not earlier then
  redis.call('HDEL', KEYS[1], 'o')
  open = false
end
if duplicate == '1' then
  redis.call('HSET', KEYS[1], 'd', '1')
end
if erased then
  to, payload = '', ''
  if not ended(state) then -- there is nobody any more to try it for
    state, reason = open and 'u' or 'c', 'erased'
  end
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
if to ~= '' and open then -- a receipt may still tell what became of it
  redis.call('ZADD', KEYS[5], open, '=' .. id)
  redis.call('ZREMRANGEBYRANK', KEYS[5], '0', '-65') -- the latest 64 stay
  redis.call('PEXPIRE', KEYS[5], near)
elseif to ~= '' then
  redis.call('ZREM', KEYS[5], '=' .. id)
end
if not ended(state) then
  redis.call('HSET', KEYS[1], 's', state)
  extend(live)
  return 1
end
if state == 'x' and not erased then
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
