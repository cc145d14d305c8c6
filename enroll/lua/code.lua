-- Lets one request get a QR code from WeChat, if the ticket's budget and the account's
-- limit allow it. After a failure no request gets one until the lock ends.
-- KEYS: the code's lock, the account's codes of this minute; for a ticket its state.
-- ARGV: the life of the lock in ms, the most codes of the account, a minute in ms, then the
-- most codes of a ticket, the sealed ticket, when its state ends in ms.
-- Returns yes, or why not: locked, spent, limit.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 'locked'
end
if KEYS[3] then
  local ticket = redis.call('HMGET', KEYS[3], 'u', 'q')
  if ticket[1] or tonumber(ticket[2] or '0') >= tonumber(ARGV[4]) then
    return 'spent'
  end
end
local n = redis.call('INCR', KEYS[2])
if n == 1 then
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
if n > tonumber(ARGV[2]) then
  return 'limit'
end
if KEYS[3] then
  redis.call('HSET', KEYS[3], 's', ARGV[5])
  redis.call('HINCRBY', KEYS[3], 'q', 1)
  redis.call('PEXPIREAT', KEYS[3], ARGV[6])
end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return 'yes'
