-- The one write before a push is acknowledged.
-- KEYS[1] the push's nonce, KEYS[2] the event's mark, KEYS[3] the inbox.
-- ARGV: the body's digest, life of the nonce and of the mark in ms, the bound of
-- the inbox, the event (empty: not ours), the name of this request.
local digest = redis.call('GET', KEYS[1])
if digest and digest ~= ARGV[1] then
  return 'replay'
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local mark = redis.call('GET', KEYS[2])
if mark == ARGV[6] then
  return 'new' -- this very request, repeated after a lost answer
end
if mark then
  return 'seen'
end
if ARGV[5] ~= '' then
  if redis.call('XLEN', KEYS[3]) >= tonumber(ARGV[4]) then
    return 'full'
  end
  redis.call('XADD', KEYS[3], '*', 'e', ARGV[5])
end
redis.call('SET', KEYS[2], ARGV[6], 'PX', ARGV[3])
return 'new'
