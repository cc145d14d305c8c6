-- Writes a record that Redis has lost, unless there is one. Returns 1 when written.
-- KEYS: the record, and those of tell. ARGV: now, its life, its state when it has
-- ended or ''; then fields and values.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 4))
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  if ARGV[3] ~= '' then
    events[1] = ARGV[3] .. told(KEYS[1]) .. ':' .. id_of(KEYS[1])
    count(ARGV[3])
    note_outcome(KEYS[1], ARGV[3])
    tell(ARGV[1])
  end
  return 1
end
return 0
