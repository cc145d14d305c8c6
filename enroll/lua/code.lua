-- Lets one request get a QR code from WeChat, if the ticket's budget and the account's
-- limit allow it. After a failure no request gets one until the lock ends.
-- KEYS: the code's lock, the account's codes of this minute; for a ticket its state.
-- ARGV: the name of this request, the life of the lock in ms, the most codes of the account,
-- a minute in ms, then the most codes of a ticket, the sealed ticket, when its state ends in
-- ms.
-- Returns yes, or why not: locked, spent, limit.
local owner = redis.call('GET', KEYS[1])
if owner == ARGV[1] then
  return 'yes' -- this very request, repeated after a lost answer
end
if owner then
  return 'locked'
end
if KEYS[3] then
  local ticket = redis.call('HMGET', KEYS[3], 'u', 'q')
  if ticket[1] or tonumber(ticket[2] or '0') >= tonumber(ARGV[5]) then
    return 'spent'
  end
end
local n = redis.call('INCR', KEYS[2])
if n == 1 then
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
if n > tonumber(ARGV[3]) then
  return 'limit'
end
if KEYS[3] then
  redis.call('HSET', KEYS[3], 's', ARGV[6])
  redis.call('HINCRBY', KEYS[3], 'q', 1)
  redis.call('PEXPIREAT', KEYS[3], ARGV[7])
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'yes'
