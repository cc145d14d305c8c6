-- Replaces pieces of a segment of the index by what an erasure leaves of them.
-- KEYS: the segment. ARGV: for each piece its place, as it was read, and what is left;
-- one that has changed since stays. Returns how many were replaced.
local replaced = 0
for i = 1, #ARGV, 3 do
  if redis.call('LINDEX', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('LSET', KEYS[1], ARGV[i], ARGV[i + 2])
    replaced = replaced + 1
  end
end
return replaced
