-- Counts a state against the budget of its ticket, and stores the ticket for it.
-- KEYS: the ticket's state. ARGV: the sealed ticket, when its state ends in ms, the most states.
-- Returns ok, used (it has bound an openid), void (that was undone), or limit.
local ticket = redis.call('HMGET', KEYS[1], 'u', 'n')
if ticket[1] then
  return ticket[1] == 'x' and 'void' or 'used'
end
if tonumber(ticket[2] or '0') >= tonumber(ARGV[3]) then
  return 'limit'
end
redis.call('HSET', KEYS[1], 's', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('PEXPIREAT', KEYS[1], ARGV[2])
return 'ok'
