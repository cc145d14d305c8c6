-- Removes a lock if it is the caller's. KEYS[1] the lock. ARGV[1] the owner's name.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 0
