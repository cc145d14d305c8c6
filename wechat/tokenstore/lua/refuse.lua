-- WeChat refused a token: mark it, if it is the current one.
-- ARGV 1 generation  2 classic: 1 or 0  3 a token younger than this (ms) was
-- refused at once  4 the war's window, ms
-- Returns {1 if marked, fresh tokens refused within the window}.
local t = redis.call('HMGET', TOKEN, 'g', 'r', 'f', 'd')
if t[1] ~= ARGV[1] or t[2] == '1' then return {0, 0} end
redis.call('HSET', TOKEN, 'r', '1')
today()
if now - tonumber(t[3]) < tonumber(ARGV[3]) then
  redis.call('HINCRBY', COUNT, 'rs', 1)
else
  redis.call('HSET', COUNT, 'rs', '0')
end
local fresh = 0
if ARGV[2] == '1' and tonumber(t[4]) > now then
  redis.call('LPUSH', WAR, int(now))
  redis.call('LTRIM', WAR, 0, 199)
  redis.call('PEXPIRE', WAR, ARGV[4])
  for _, at in ipairs(redis.call('LRANGE', WAR, 0, -1)) do
    if now - tonumber(at) < tonumber(ARGV[4]) then fresh = fresh + 1 end
  end
end
notify('refused')
return {1, fresh}
