-- WeChat refused a token: mark it, if it is the current one, and say until when
-- nobody fetches another.
-- ARGV 1 generation  2 classic: 1 or 0  3 a token younger than this (ms) was
-- refused at once  4 the war's window, ms  5 least and 6 longest gap from fetch
-- to fetch, ms  7 spread of the longer gaps, percent
-- Returns {1 if marked, fresh tokens refused within the window}.
local t = redis.call('HMGET', TOKEN, 'g', 'r', 'f', 'd')
if t[1] ~= ARGV[1] or t[2] == '1' then return {0, 0} end
today()
local gap, age = tonumber(ARGV[5]), now - tonumber(t[3])
if age < tonumber(ARGV[3]) then
  local streak = redis.call('HINCRBY', COUNT, 'rs', 1)
  if streak > 1 then -- spread, or a rival with a beat of its own would meet us each time
    gap = gap * 2 ^ (streak - 1) * (1 + tonumber(ARGV[7]) / 100)
  end
else
  redis.call('HSET', COUNT, 'rs', '0')
end
redis.call('HSET', TOKEN, 'r', '1', 'h', int(tonumber(t[3]) + math.min(gap, tonumber(ARGV[6]))))
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
