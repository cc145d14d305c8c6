-- Closes for one reason. ARGV reason, detail, owner, wait: ms from now (-1: until
-- Open), probe: "1" to probe when that has passed.
-- Replies {closed = 1 when the gate closed or closed for longer, 0 when a longer pause was there}.
local reason, wait, probe = arg.reason, number('wait'), number('probe')
if wait < 0 and reason == 'quota-refused' then
  wait = math.ceil((day_end(day) - now) / 1000)
elseif wait < 0 and reason == 'minute-rate' then
  wait = 60000 - now_ms % 60000
end
if reason == 'manual' then probe = 0 end

local old = pauses[reason]
local in_force = old and (old.ends == 0 or now_ms < old.ends)
local failures = 0
if old and not in_force and old.probe == 1 then
  failures = old.failures
  -- Only a failed probe counts: late answers of before the closure do not.
  if old.lease > now_ms then
    failures = failures + 1
    wait = math.max(wait, math.min(wait * 2 ^ failures, 600000))
  end
end

-- WeChat's minute quota: half of the rate, once for each closure.
if reason == 'minute-rate' and not in_force then
  local factor, since = tonumber(h.slow_factor) or 1, tonumber(h.slow_since) or now_ms
  factor = math.min(1, factor + math.max(0, now_ms - since) / 600000)
  redis.call('HSET', gate, 'slow_factor', string.format('%.4f', math.max(1 / 16, factor / 2)), 'slow_since', int(now_ms))
end

local till = 0
if wait >= 0 then till = now_ms + wait end
if in_force and (old.ends == 0 or (till ~= 0 and till <= old.ends)) then return reply({closed = 0}) end
pauses[reason] = {
  ends = till, probe = probe, since = old and old.since or now_ms, owner = arg.owner,
  detail = arg.detail, failures = failures, lease = 0,
}
save_pauses()
keep_alive()
if not in_force then publish('close ' .. reason) end
return reply({closed = 1})
