-- Record a failed fetch, so that nobody asks WeChat before the step is over.
-- ARGV 1 lease id  2 generation  3 the failure, JSON  4.. the steps in ms
-- Returns the step's length in ms; 0 when somebody stored a newer token meanwhile.
-- A failure counts even when a newer lease was given: were it forgotten, a fleet
-- whose every fetch outlasts its lease would ask WeChat without end.
local b = redis.call('HMGET', BACKOFF, 'g', 'u', 's')
if b[1] == ARGV[2] then return math.max(tonumber(b[2]) - now, 0) end -- repeated by the client
release(ARGV[1] .. ':' .. ARGV[2])
if (tonumber(redis.call('HGET', TOKEN, 'g')) or 0) > tonumber(ARGV[2]) then return 0 end
local step = (tonumber(b[3]) or 0) + 1
local wait = tonumber(ARGV[3 + math.min(step, #ARGV - 3)])
redis.call('HSET', BACKOFF, 'u', int(now + wait), 's', int(step), 'g', ARGV[2], 'j', ARGV[3])
redis.call('PEXPIRE', BACKOFF, wait + 3600000)
notify('failed')
return wait
