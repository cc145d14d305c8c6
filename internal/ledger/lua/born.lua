-- Creates the record unless one exists.
-- KEYS[1] the record. ARGV[1] its life in ms; then its fields and values.
-- Returns 1, or the existing record's state, class, hash and time of queueing.
if redis.call('EXISTS', KEYS[1]) == 1 then
  -- The caller puts a task for it in the same trip. However long that waits,
  -- the record must still tell the worker to drop it.
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
  end
  local old = redis.call('HMGET', KEYS[1], 's', 'c', 'h', 'q', 'b')
  if old[1] == 'c' then
    redis.call('HSET', KEYS[1], 'y', '1') -- release.lua must not cut its life now
  end
  return old
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
