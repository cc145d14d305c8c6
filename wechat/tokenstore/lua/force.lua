-- Ask leave for one forced refresh. WeChat allows few a day and wants a gap.
-- ARGV 1 lease id  2 generation  3 a day  4 gap ms  5 lease ms
-- Returns 1 for yes. It is counted here, before the call, so that a crash
-- cannot forget it; the lease starts anew, since a second call follows.
if redis.call('GET', GEN) ~= ARGV[2] then return 0 end
today()
local c = redis.call('HMGET', COUNT, 'f', 'lf', 'lg')
if c[3] == ARGV[2] then return 1 end -- repeated by the client
if tonumber(c[1]) >= tonumber(ARGV[3]) then return 0 end
if now - (tonumber(c[2]) or 0) < tonumber(ARGV[4]) then return 0 end
redis.call('HINCRBY', COUNT, 'f', 1)
redis.call('HINCRBY', COUNT, 'n', 1)
redis.call('HSET', COUNT, 'lf', int(now), 'lg', ARGV[2])
redis.call('SET', LEASE, ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[5]) -- nobody else has it: the generation is ours
return 1
