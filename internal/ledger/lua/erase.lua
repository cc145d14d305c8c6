-- Forgets whose message it is, in two steps: ends it, then drops what names the
-- person. Between them the caller takes its task off the queue.
-- KEYS[3] the index of the dead, KEYS[4] the dead letter, KEYS[5] the payload.
-- Returns the record's class and state, or nothing.
local step, now, id, keep, gone = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local v = redis.call('HMGET', KEYS[1], 's', 'c', 'o', 'y')
local s, class, open, again = v[1], v[2], v[3], v[4]
if not s then
  return {}
end
if step == 'end' then
  redis.call('HSET', KEYS[1], 'v', '1') -- nothing personal is written from now on
  if s == 'q' or s == 'w' or s == 'r' then
    s = open and 'u' or 'c'
    redis.call('HDEL', KEYS[1], 'e', 'w', 'y')
    redis.call('HSET', KEYS[1], 's', s, 'z', now, 'r', 'erased')
    extend(keep) -- its task may wait for months: the record keeps it from being sent
    count(s)
  end
  return {class or '', s}
end
redis.call('HDEL', KEYS[1], 't', 'u')
redis.call('ZREM', KEYS[3], id)
redis.call('DEL', KEYS[4], KEYS[5])
if gone == '1' and s == 'c' and not again and redis.call('PTTL', KEYS[1]) > tonumber(keep) then
  redis.call('PEXPIRE', KEYS[1], keep)
end
return {class or '', s}
