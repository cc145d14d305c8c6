-- Settles a message by its receipt. Returns the record.
-- KEYS[3] the msgid's key.
local state, receipt, at, keep, repeats = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local v = redis.call('HMGET', KEYS[1], 's', 'f', 'x')
local s, known, sent = v[1], v[2], v[3]
if s == 'a' and not known then
  if sent and tonumber(at) < tonumber(sent) then
    at = sent -- nothing ends before it was sent; WeChat's times are whole seconds
  end
  settle(state, receipt, at, keep)
  redis.call('PEXPIRE', KEYS[3], repeats) -- WeChat's repeats come within a minute
end
return redis.call('HGETALL', KEYS[1])
