-- Puts tasks that were fetched and never begun back at the head of their queue,
-- in the order in which they were fetched. A task whose lease is not the one that
-- the fetch wrote is another worker's by now and stays where it is.
-- KEYS: active, lease, pending. ARGV: prefix of tasks, now in nanoseconds, then
-- the ID and the end of the lease of each.
-- Returns how many went back.
local back = 0
for i = #ARGV - 1, 3, -2 do
  local id = ARGV[i]
  local lease = redis.call('ZSCORE', KEYS[2], id)
  if lease and tonumber(lease) == tonumber(ARGV[i + 1]) and redis.call('LREM', KEYS[1], 1, id) > 0 then
    redis.call('ZREM', KEYS[2], id)
    if redis.call('HEXISTS', ARGV[1] .. id, 'msg') == 1 then
      redis.call('HSET', ARGV[1] .. id, 'state', 'pending', 'pending_since', ARGV[2])
      redis.call('RPUSH', KEYS[3], id)
      back = back + 1
    else
      redis.call('DEL', ARGV[1] .. id)
    end
  end
end
return back
