-- Closes for one reason.
--
-- ARGV reason, detail, owner
--      wait    ms from now, -1: until Open, but for quota-refused the end of the day and for minute-rate of the minute
--      probe   "1": probe when that has passed
--      booked  when the permit of the refused call was booked, us, 0: no call was refused   day  of that permit
--      call    names this call: a copy does nothing and replies as a closure that was made
--
-- Replies {closed = 1 when the gate closed or closed for longer, stale = 1 when the
-- refusal proves nothing new: its call was booked before the last closure, or on another day}
begin_day()
local reason, wait, probe, booked = arg.reason, number('wait'), number('probe'), number('booked')
local old = pauses[reason]
if redis.call('HGET', gate, 'closer:' .. reason) == arg.call then return reply({closed = 1, stale = 0}) end
local last = tonumber(redis.call('HGET', gate, 'closed:' .. reason) or nil) or 0
if last > now then last = 0 end -- the clock went back
local of_another_day = reason == 'quota-refused' and number('day') ~= day
if booked > 0 and (booked <= last or of_another_day) then return reply({closed = 0, stale = 1}) end

if wait < 0 and reason == 'minute-rate' then wait = 60000 - now_ms % 60000 end
if reason == 'manual' then probe = 0 end

local in_force = old and (old.ends == 0 or now_ms < old.ends)
local failures = 0
if old and not in_force and old.probe == 1 then
  failures = old.failures
  if old.lease > now_ms then -- its probe failed
    failures = failures + 1
    wait = math.max(wait, math.min(wait * 2 ^ failures, 600000))
  end
end

if reason == 'quota-refused' then
  local rest = math.ceil((day_end(today) - now) / 1000)
  if wait < 0 or wait > rest then wait = rest end
  -- A second refusal within the hour proves that WeChat's own count is wrong.
  if not in_force and last > 0 and now - last < HOUR then
    redis.call('HSET', gate, 'distrust_until', int(now + HOUR))
  end
end

-- WeChat's minute quota: half of the rate, once for each closure.
if reason == 'minute-rate' and not in_force then
  local factor, since = tonumber(h.slow_factor) or 1, tonumber(h.slow_since) or now_ms
  factor = math.min(1, factor + math.max(0, now_ms - since) / 600000)
  redis.call('HSET', gate, 'slow_factor', string.format('%.4f', math.max(1 / 16, factor / 2)), 'slow_since', int(now_ms))
end

local ends = 0
if wait >= 0 then ends = now_ms + wait end
if in_force and (old.ends == 0 or (ends ~= 0 and ends <= old.ends)) then return reply({closed = 0, stale = 0}) end
redis.call('HSET', gate, 'closed:' .. reason, int(now), 'closer:' .. reason, arg.call)
pauses[reason] = {
  ends = ends, probe = probe, since = old and old.since or now_ms, owner = arg.owner,
  detail = arg.detail, failures = failures, lease = 0,
}
save_pauses()
keep_alive()
if not in_force then publish('close ' .. reason) end
return reply({closed = 1, stale = 0})
