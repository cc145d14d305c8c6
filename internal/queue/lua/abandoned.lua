-- What may be abandoned. The keys of these tasks are declared to recover.lua.
-- KEYS: active, lease, pending. ARGV: seconds after the end of a lease, how many to look
-- at.
-- Returns how many leases have ended and how many of the oldest active tasks follow; then
-- the IDs of both, and those at the head of the queue.
local ended, most = redis.call('TIME')[1] - ARGV[1], tonumber(ARGV[2])
local out = {'0', '0'}
local function add(ids)
  for _, id in ipairs(ids) do
    out[#out + 1] = id
  end
  return tostring(#ids)
end
out[1] = add(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ended, 'LIMIT', 0, most))
out[2] = add(redis.call('LRANGE', KEYS[1], -most, -1)) -- the oldest stand at the right end
add(redis.call('LRANGE', KEYS[3], -20, -1))
return out
