-- Reads the tasks that state.lua named.
-- KEYS: active, pending, scheduled, retry, archived, completed, then the tasks.
-- ARGV: of each task its state (1 to 6) and its ID.
-- Returns when the next pending task became pending, as a text of Unix nanoseconds, 0 when
-- unknown, and how many tasks have no message.
local since, missing = '0', 0
for i = 1, #KEYS - 6 do
  local state, id, task = tonumber(ARGV[2 * i - 1]), ARGV[2 * i], KEYS[6 + i]
  if redis.call('HEXISTS', task, 'msg') == 0 then
    local there -- or it left the queue since it was named
    if state <= 2 then
      there = redis.call('LPOS', KEYS[state], id, 'RANK', -1, 'MAXLEN', 1000)
    else
      there = redis.call('ZSCORE', KEYS[state], id)
    end
    if there then missing = missing + 1 end
  elseif state == 2 then
    since = redis.call('HGET', task, 'pending_since') or '0' -- the last one named is the next
  end
end
return {since, tostring(missing)}
