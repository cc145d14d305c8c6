-- Records WeChat's yes. It overrules any state that did not know of it.
-- KEYS[3] what is under way to the recipient, KEYS[4] whose receipt is awaited,
-- KEYS[5] the payload, KEYS[6] the msgid's key (only with a msgid).
local now, id, msgid, duplicate, to, payload = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local keep, accepted_keep, index, near, overdue = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local class = ARGV[12]

local v = redis.call('HMGET', KEYS[1], 's', 'm', 'f', 'o', 'v', 'w', 'a')
local s, known, receipt, open, erased, due = v[1], v[2], v[3], v[4], v[5], v[6]
if (s == 'a' or receipt) and (known or '0') == msgid then
  return 0 -- this very call, replayed after a lost answer
end
local early = false
if msgid ~= '0' then
  early = redis.call('GET', KEYS[6])
  if due and early == '~' .. id then
    return 0 -- the same, after a receipt that asks for another attempt
  end
  redis.call('SET', KEYS[6], '=' .. id, 'PX', index)
end
if duplicate == '1' or known or s == 'a' or receipt then
  redis.call('HSET', KEYS[1], 'd', '1')
end
if erased then
  to, payload = '', ''
end
if not s then
  restore(class, to)
end
if s ~= 'a' and not receipt then -- else accepted twice: the first msgid and time stay
  redis.call('HDEL', KEYS[1], 'o', 'k', 'e', 'r', 'z', 'w')
  local attempts = string.format('%d', (tonumber(v[7]) or 0) + 1)
  if msgid ~= '0' then
    redis.call('HSET', KEYS[1], 'a', attempts, 's', 'a', 'x', now, 'm', msgid)
  else
    redis.call('HSET', KEYS[1], 'a', attempts, 's', 'a', 'x', now)
  end
  redis.call('PEXPIRE', KEYS[1], accepted_keep)
  count('a')
end
if early and not receipt then
  local state, at, words = string.match(early, '^!(%a)(%d+) (.*)$')
  local again = payload ~= '' and (words == 'system-failed' or words == 'freq-limit')
  if state and not again then -- else Match asks for another attempt
    if tonumber(at) < tonumber(now) then
      at = now -- nothing ends before it was sent
    end
    settle(state, words, at, keep)
    receipt = words
  end
end
if receipt then
  redis.call('ZREM', KEYS[3], '=' .. id)
  redis.call('ZREM', KEYS[4], id)
  redis.call('DEL', KEYS[5])
  return 1
end
if payload ~= '' then
  redis.call('SET', KEYS[5], payload, 'PX', index)
end
if to ~= '' then
  redis.call('ZADD', KEYS[3], 'NX', open or now, '=' .. id)
  redis.call('ZREMRANGEBYRANK', KEYS[3], '0', '-65') -- the latest 64 stay
  redis.call('PEXPIRE', KEYS[3], near)
end
redis.call('ZADD', KEYS[4], 'NX', now, id)
redis.call('PEXPIRE', KEYS[4], accepted_keep)
local missing = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', overdue, 'LIMIT', '0', '20')
if #missing > 0 then -- where nobody sweeps
  redis.call('ZREM', KEYS[4], unpack(missing))
  count('m', #missing)
end
return 1
