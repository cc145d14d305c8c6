-- Removes archived tasks that died before a moment, a few at a time. A task that
-- is at work again under the same ID keeps its hash.
-- KEYS: archived, lease. ARGV: moment in seconds, prefix of tasks, how many.
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do
  redis.call('ZREM', KEYS[1], id)
  local state = redis.call('HGET', ARGV[2] .. id, 'state')
  if state == 'archived' or (state == 'active' and not redis.call('ZSCORE', KEYS[2], id)) then
    redis.call('DEL', ARGV[2] .. id)
  end
end
return #ids
