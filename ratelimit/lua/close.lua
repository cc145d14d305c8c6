-- Closes for one reason. ARGV[6] reason  [7] detail  [8] ms from now (-1: until opened)
-- [9] "1": probe when that has passed  [10] owner
-- returns 1 when the gate closed or closed for longer, 0 when a longer pause stood already
local reason, wait, probe = ARGV[6], tonumber(ARGV[8]), tonumber(ARGV[9])
if wait < 0 and reason == 'quota-refused' then
  wait = math.ceil((day_end(day) - now) / 1000)
elseif wait < 0 and reason == 'minute-rate' then
  wait = 60000 - now_ms % 60000
end
if reason == 'manual' then probe = 0 end

local old = pauses[reason]
local in_force = old and (old.u == 0 or now_ms < old.u)
local failures = 0
if old and not in_force and old.p == 1 then
  failures = old.f
  -- Only a failed probe counts: stragglers of before the closure do not.
  if old.l > now_ms then
    failures = failures + 1
    wait = math.max(wait, math.min(wait * 2 ^ failures, 600000))
  end
end

-- WeChat's minute quota: half of the rate, once for each closure.
if reason == 'minute-rate' and not in_force then
  local factor, since = tonumber(h[8]) or 1, tonumber(h[9]) or now_ms
  factor = math.min(1, factor + math.max(0, now_ms - since) / 600000)
  redis.call('HSET', gate, 'sf', string.format('%.4f', math.max(1 / 16, factor / 2)), 'sa', int(now_ms))
end

local till = 0
if wait >= 0 then till = now_ms + wait end
if in_force and (old.u == 0 or (till ~= 0 and till <= old.u)) then return 0 end
local since = now_ms
if old then since = old.s end
pauses[reason] = {u = till, p = probe, s = since, o = ARGV[10], f = failures, l = 0, d = ARGV[7]}
save_pauses()
keep_alive()
if not in_force then tell('close ' .. reason) end
return 1
