-- Settles a message by a receipt that does not name it.
-- KEYS[1] what is under way to the recipient, KEYS[3] whose receipt is awaited,
-- KEYS[4] the msgid's key, then the records that it may be of, the oldest first,
-- and as many payloads.
-- Returns a word, the message's id, and its record.
local state, receipt, at, now, msgid, mark = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local keep, repeats, window, near, open_too = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11] -- from ARGV[12] on: the ids
local n = #ARGV - 11

if msgid == '0' then
  for _, member in ipairs(redis.call('ZRANGE', KEYS[1], '0', '-1')) do
    if string.sub(member, 1, #mark) == mark then
      return {'known', string.sub(member, #mark + 1)}
    end
  end
else
  local id = string.match(redis.call('GET', KEYS[4]) or '', '^[=~](.*)$')
  if id then
    return {'known', id}
  end
end

local sure, open = {}, {}
for i = 1, n do
  local v = redis.call('HMGET', KEYS[4 + i], 's', 'm', 'f', 'o', 'x', 'v')
  local s, named, known, since, sent = v[1], v[2], v[3], v[4], v[5]
  local from = s == 'a' and sent or since
  if from and not known and not v[6] and tonumber(at) <= tonumber(from) + tonumber(window) then
    if s == 'a' and (msgid == '0' or not named) then
      sure[#sure + 1] = i
    elseif since and open_too == '1' and not named and (s == 's' or s == 'r' or s == 'q' or s == 'u') then
      open[#open + 1] = i
    end
  end
end
local found = false
if msgid == '0' and #sure > 0 then
  found = sure[1]
elseif #sure + #open == 1 then
  found = sure[1] or open[1]
end
if not found then
  return {'none', ''}
end

R = 4 + found
local id = ARGV[11 + found]
local v = redis.call('HMGET', KEYS[R], 's', 'x', 'o')
local from = v[1] == 'a' and v[2] or v[3]
if tonumber(at) < tonumber(from) then
  at = from -- nothing ends before it was sent
end
if v[1] ~= 'a' then
  redis.call('HSET', KEYS[R], 'x', at)
  count('a')
end
settle(state, receipt, at, keep)
redis.call('DEL', KEYS[R + n])
redis.call('ZREM', KEYS[3], id)
redis.call('ZREM', KEYS[1], '=' .. id)
if msgid == '0' then
  redis.call('ZADD', KEYS[1], now, mark .. id)
  redis.call('PEXPIRE', KEYS[1], near)
else
  redis.call('HSET', KEYS[R], 'm', msgid)
  redis.call('SET', KEYS[4], '=' .. id, 'PX', repeats)
end
return {'settled', id, redis.call('HGETALL', KEYS[R])}
