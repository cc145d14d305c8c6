-- Records WeChat's yes. It overrules any state that did not know of it.
-- KEYS[3] the msgid's key (only with a msgid).
local now, id, msgid, duplicate = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local keep, accepted_keep, index = ARGV[5], ARGV[6], ARGV[7]

local v = redis.call('HMGET', KEYS[1], 's', 'm', 'f')
local s, known, receipt = v[1], v[2], v[3]
if (s == 'a' or receipt) and (known or '0') == msgid then
  return 0 -- this very call, replayed after a lost answer
end
if duplicate == '1' or known or s == 'a' or receipt then
  redis.call('HSET', KEYS[1], 'd', '1')
end
local early = false
if msgid ~= '0' then
  early = redis.call('GET', KEYS[3])
  redis.call('SET', KEYS[3], '=' .. id, 'PX', index)
end
if s ~= 'a' and not receipt then -- else accepted twice: the first msgid and time stay
  redis.call('HDEL', KEYS[1], 'o', 'k', 'e', 'r', 'z')
  redis.call('HINCRBY', KEYS[1], 'a', '1')
  redis.call('HSET', KEYS[1], 's', 'a', 'x', now)
  if msgid ~= '0' then
    redis.call('HSET', KEYS[1], 'm', msgid)
  end
  redis.call('PEXPIRE', KEYS[1], accepted_keep)
  count('a')
end
if early and not receipt then
  local state, at, words = string.match(early, '^!(%a)(%d+) (.*)$')
  if state then
    if tonumber(at) < tonumber(now) then
      at = now -- nothing ends before it was sent
    end
    settle(state, words, at, keep)
  end
end
return 1
