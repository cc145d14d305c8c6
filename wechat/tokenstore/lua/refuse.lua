-- Marks the current token as refused by WeChat, if it is of this generation, and
-- sets the time before which this refusal causes no fetch.
-- generation   classic: 1 or 0
-- young_ms     a token refused at less than this age was refused at once
-- gap_ms       least time from fetch to fetch; doubled, up to max_gap_ms, for each
--              further token refused at once
-- spread       percent added to a doubled gap
-- window_ms    within which refusals of fresh tokens are counted
-- Reply: marked 1 or 0, recent: fresh tokens refused within the window.
local token = read_token()
if int(token.generation) ~= arg.generation or token.refused then return {'marked', 0, 'recent', 0} end
start_day()
local fetched = math.min(token.fetched, now) -- later only if the clock was set back
local gap = tonumber(arg.gap_ms)
if now - fetched < tonumber(arg.young_ms) then
  local streak = redis.call('HINCRBY', COUNT, 'rs', 1)
  -- The spread keeps two systems from replacing each other's token in step.
  if streak > 1 then gap = gap * 2 ^ (streak - 1) * (1 + tonumber(arg.spread) / 100) end
else
  redis.call('HSET', COUNT, 'rs', '0')
end
redis.call('HSET', TOKEN, 'r', '1', 'h', int(fetched + math.min(gap, tonumber(arg.max_gap_ms))))
local recent = 0
if arg.classic == '1' and token.due > now then
  redis.call('LPUSH', WAR, int(now))
  redis.call('LTRIM', WAR, 0, 199)
  redis.call('PEXPIRE', WAR, arg.window_ms)
  recent = recent_refusals(tonumber(arg.window_ms))
end
notify('refused')
return {'marked', 1, 'recent', recent}
