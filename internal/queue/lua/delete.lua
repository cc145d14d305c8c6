-- Deletes a task that no worker handles.
-- KEYS: task, pending, scheduled, retry, archived, completed. ARGV[1]: ID.
-- Returns the state that it was in, or an empty text.
local state = redis.call('HGET', KEYS[1], 'state')
local set = {scheduled = KEYS[3], retry = KEYS[4], archived = KEYS[5], completed = KEYS[6]}
if state == 'pending' then
  redis.call('LREM', KEYS[2], 1, ARGV[1])
elseif set[state] then
  redis.call('ZREM', set[state], ARGV[1])
else
  return state or ''
end
redis.call('DEL', KEYS[1])
return state
