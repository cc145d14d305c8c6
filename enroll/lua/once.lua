-- Lets one request exchange the code that came back with a state, if the ticket's budget
-- and the account's limit allow it.
-- KEYS: the state's outcome, the ticket's state, the account's exchanges of this minute.
-- ARGV: the code's fingerprint, the name of this request, how long the exchange may take in
-- ms, the most exchanges of a ticket, the most of the account, a minute in ms.
-- Returns an empty text for the request that may exchange; for another one the
-- fingerprint, with the name of the first request behind a dot, or with the outcome behind
-- a space once it is known. Otherwise it returns '! void', '! used', '! limit', or '! wait'
-- and in how many ms to try again.
local said = redis.call('GET', KEYS[1])
local mine = ARGV[1] .. '.' .. ARGV[2]
if said == mine then
  return '' -- this very request, repeated after a lost answer
end
if said then
  return said
end
local ticket = redis.call('HMGET', KEYS[2], 's', 'u', 'e')
if ticket[2] then
  return ticket[2] == 'x' and '! void' or '! used'
end
if not ticket[1] then
  return '! void'
end
if tonumber(ticket[3] or '0') >= tonumber(ARGV[4]) then
  return '! limit'
end
local n = redis.call('INCR', KEYS[3])
if n == 1 then
  redis.call('PEXPIRE', KEYS[3], ARGV[6])
end
if n > tonumber(ARGV[5]) then
  return '! wait ' .. redis.call('PTTL', KEYS[3])
end
redis.call('HINCRBY', KEYS[2], 'e', 1)
redis.call('SET', KEYS[1], mine, 'PX', ARGV[3])
return ''
