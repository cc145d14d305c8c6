-- Settles a message by its receipt, or sets it up to be sent again.
-- KEYS[3] the msgid's key, KEYS[4] whose receipt is awaited, KEYS[5] what is
-- under way to the recipient, KEYS[6] the payload.
-- Returns the record, and payload and moment of another attempt if there is one.
local state, receipt, at, keep, repeats = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local id, now, msgid, live, index = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10] -- from ARGV[11] on: waits before each attempt more
local v = redis.call('HMGET', KEYS[1], 's', 'f', 'x', 'n', 'g', 'w', 'm')
local s, known, sent, last, before, due = v[1], v[2], v[3], v[4], tonumber(v[5]) or 0, v[6]

local function answer(payload, moment)
  return {redis.call('HGETALL', KEYS[1]), payload or '', moment or ''}
end

if string.sub(redis.call('GET', KEYS[3]) or '', 1, 1) == '~' then
  local moment, by = string.match(due or '', '^(%d+) (%d+)$')
  if s == 'r' and by == msgid then -- the same receipt again, and not begun yet
    return answer(redis.call('GET', KEYS[6]), moment)
  end
  return answer()
end
if s ~= 'a' or known then
  return answer()
end
redis.call('ZREM', KEYS[4], id)
redis.call('ZREM', KEYS[5], '=' .. id)
local payload, wait = redis.call('GET', KEYS[6]), tonumber(ARGV[11 + before])
if payload and wait then
  local moment = string.format('%.0f', tonumber(now) + wait)
  if not last or tonumber(moment) < tonumber(last) then
    redis.call('HDEL', KEYS[1], 'm', 'x', 'o', 'k', 'e', 'a', 'z')
    redis.call('HSET', KEYS[1], 's', 'r', 'r', receipt, 'g', before + 1, 'w', moment .. ' ' .. msgid)
    redis.call('SET', KEYS[3], '~' .. id, 'PX', index)
    extend(live)
    count('g')
    return answer(payload, moment)
  end
end
if sent and tonumber(at) < tonumber(sent) then
  at = sent -- nothing ends before it was sent; WeChat's times are whole seconds
end
settle(state, receipt, at, keep)
redis.call('DEL', KEYS[6])
redis.call('PEXPIRE', KEYS[3], repeats) -- WeChat's repeats come within a minute
return answer()
