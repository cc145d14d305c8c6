-- Removes the digest of a recipient from entries of a segment of the index.
-- KEYS: the segment. ARGV: for each entry its offset and its bytes; one that has moved
-- since is left. Returns how many were changed.
local changed = 0
for i = 1, #ARGV, 2 do
  local at, entry = tonumber(ARGV[i]), ARGV[i + 1]
  if redis.call('GETRANGE', KEYS[1], at, at + #entry - 1) == entry then
    redis.call('SETRANGE', KEYS[1], at + 4, '\0\0')
    changed = changed + 1
  end
end
return changed
