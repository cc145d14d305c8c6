-- The first half of an enqueue in a cluster: records. Each new one is listed until its
-- task is put.
-- KEYS: the list, the records, those of index (5). ARGV[1] now in ms, then of each
-- message its member of the list and the record's arguments (11).
-- Returns for each: 1 created, or the record that exists.
local out = {}
for n = 1, #KEYS - 6 do
  local at = 2 + 12 * (n - 1)
  local old = create(KEYS[1 + n], at + 1)
  if not old then
    redis.call('ZADD', KEYS[1], ARGV[1], ARGV[at])
  end
  out[n] = old or 1
end
index(ARGV[1])
return out
