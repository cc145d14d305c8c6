-- What operators see; never the value. ARGV 1 the war's window, ms
local t = redis.call('HMGET', TOKEN, 'g', 'f', 'd', 'e', 'p', 'r')
local b = redis.call('HMGET', BACKOFF, 'u', 'j')
local c = redis.call('HMGET', COUNT, 'd', 'n', 'f')
local fetches, forced = c[2] or '0', c[3] or '0'
if (tonumber(c[1]) or 0) < math.floor((now + CHINA) / DAY) then fetches, forced = '0', '0' end
local fresh = 0
for _, at in ipairs(redis.call('LRANGE', WAR, 0, -1)) do
  if now - tonumber(at) < tonumber(ARGV[1]) then fresh = fresh + 1 end
end
return {int(now), t[1] or '0', t[2] or '0', t[3] or '0', t[4] or '0', t[5] or '', t[6] or '0',
  b[1] or '0', b[2] or '', fetches, forced, int(fresh), redis.call('GET', LEASE) or ''}
