-- Puts a task that waits or was archived on its queue now.
-- KEYS: task, pending, scheduled, retry, archived, completed. ARGV: id, now in
-- nanoseconds. Returns the state that it was in, or an empty text.
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return '' end
local set = {scheduled = KEYS[3], retry = KEYS[4], archived = KEYS[5], completed = KEYS[6]}
if not set[state] then return state end
if redis.call('HEXISTS', KEYS[1], 'msg') == 0 then return '' end
redis.call('ZREM', set[state], ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'pending', 'pending_since', ARGV[2])
redis.call('LPUSH', KEYS[2], ARGV[1])
return state
