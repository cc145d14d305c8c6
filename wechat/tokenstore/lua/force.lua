-- Asks for permission to force one refresh; WeChat allows few a day. It is counted
-- here, before the call, so that a crash cannot lose it. The lease begins anew
-- because a second call follows.
-- lease, generation, lease_ms, per_day, gap_ms: between two
-- Reply: allowed 1 or 0, and of a refusal ms until the gap has passed.
if redis.call('GET', GEN) ~= arg.generation then return {'allowed', 0} end
start_day()
local c = redis.call('HMGET', COUNT, 'f', 'lf', 'lg')
if c[3] == arg.generation then return {'allowed', 1} end -- go-redis repeated this call
if tonumber(c[1]) >= tonumber(arg.per_day) then return {'allowed', 0} end
local passed = math.abs(now - number(c[2]))
if passed < tonumber(arg.gap_ms) then return {'allowed', 0, 'ms', int(tonumber(arg.gap_ms) - passed)} end
redis.call('HINCRBY', COUNT, 'f', 1)
redis.call('HINCRBY', COUNT, 'n', 1)
redis.call('HSET', COUNT, 'lf', int(now), 'lg', arg.generation)
-- No other process holds a lease: our generation is the last.
redis.call('SET', LEASE, arg.lease .. ':' .. arg.generation, 'PX', arg.lease_ms)
return {'allowed', 1}
