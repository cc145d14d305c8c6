-- Lifts the suppression that a follow proves wrong. An admin's stays, and so do
-- those of single templates.
-- KEYS: the suppressions, their index by end, when they began. ARGV: the openid, then WeChat's reasons.
-- Returns 1 when it was lifted.
local why = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^%d+ ?(.*)$')
for i = 2, #ARGV do
  if why == ARGV[i] then
    redis.call('HDEL', KEYS[1], ARGV[1])
    redis.call('ZREM', KEYS[2], ARGV[1])
    redis.call('HDEL', KEYS[3], ARGV[1])
    return 1
  end
end
return 0
