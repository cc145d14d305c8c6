-- Writes a record that Redis has lost, unless there is one. Returns 1 when written.
-- KEYS: the record, and those of tell. ARGV: its life, its state when it has
-- ended or ''; then fields and values.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 3))
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  if ARGV[2] ~= '' then
    events[1] = ARGV[2] .. told(KEYS[1]) .. ':' .. id_of(KEYS[1])
    note_outcome(KEYS[1], ARGV[2])
    tell()
  end
  return 1
end
return 0
