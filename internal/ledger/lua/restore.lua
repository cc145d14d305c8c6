-- Writes a record that Redis has lost, unless there is one. Returns 1 when written.
-- KEYS: the record. ARGV: its life; then fields and values.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 2))
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  return 1
end
return 0
