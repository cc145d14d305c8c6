-- Wakes idle workers. A worker that found a class empty left a mark; the first
-- Enqueue after that takes the mark away and calls. No mark: nobody sleeps.
-- KEYS: the idle marks of the classes; ARGV[1]: channel; ARGV[2..]: the classes.
local woken = {}
for i, key in ipairs(KEYS) do
  if redis.call('DEL', key) == 1 then woken[#woken + 1] = ARGV[i + 1] end
end
if #woken > 0 then redis.call('PUBLISH', ARGV[1], table.concat(woken, ' ')) end
return #woken
