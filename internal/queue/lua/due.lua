-- What is due. The keys of these tasks are declared to forward.lua.
-- KEYS: retry, scheduled. ARGV[1]: how many of each.
-- Returns the number of retries, then the IDs of the retries and of the scheduled tasks.
local now = redis.call('TIME')[1] -- one clock for all workers
local out = {'0'}
for i = 1, 2 do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', now, 'LIMIT', 0, ARGV[1])) do
    out[#out + 1] = id
  end
  if i == 1 then
    out[1] = tostring(#out - 1)
  end
end
return out
