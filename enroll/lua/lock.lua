-- Takes a lock, or renews it for the one who holds it.
-- KEYS[1] the lock. ARGV: its owner's name, its life in ms. Returns 1, or 0: it is another's.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
