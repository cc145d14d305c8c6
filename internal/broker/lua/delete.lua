-- Deletes a task that nobody works on.
-- KEYS: task, pending, scheduled, retry, archived, completed. ARGV: id, and a
-- text that its message must contain; without one any is deleted.
-- Returns the state that it was in, or an empty text.
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return '' end
if ARGV[2] and not string.find(redis.call('HGET', KEYS[1], 'msg') or '', ARGV[2], 1, true) then return '' end
if state == 'active' then return state end
local set = {scheduled = KEYS[3], retry = KEYS[4], archived = KEYS[5], completed = KEYS[6]}
if state == 'pending' then
  redis.call('LREM', KEYS[2], 1, ARGV[1])
elseif set[state] then
  redis.call('ZREM', set[state], ARGV[1])
else
  return state
end
redis.call('DEL', KEYS[1])
return state
