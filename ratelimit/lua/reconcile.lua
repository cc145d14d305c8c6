-- Corrects the day's count by WeChat's own.
--
-- ARGV asked        when WeChat was asked, ms
--      limit, told  its answer: the limit and the count; below 0: WeChat could not say
--
-- Replies {used, version, stale = 1 when the answer was not used}
begin_day()
local asked, told = number('asked'), number('told')
local could_say = number('limit') >= 0 and told >= 0

-- An answer belongs to the day and the moment of its question, and must be younger
-- than a lease. In the first minute of a day WeChat may still tell yesterday's
-- count. When writes were lost, WeChat's count must have the calls under way then.
local earliest = math.max(tonumber(h.reconciled) or 0, (tonumber(h.lost_at) or -2000) + 2000)
if earliest > now_ms + 2000 then earliest = 0 end -- the clock went back
local minute_end = day_start(day) + 60 * SECOND
local stale = could_say and (asked * 1000 < minute_end
  or asked < now_ms - 30000 or asked > now_ms or asked < earliest)

-- refused_today: WeChat refused, within the hour, and its own count, which lags by
-- about 1 %, says that next to nothing remains; or it refused twice.
local function refused_today()
  local refused = tonumber(h['closed:quota-refused']) or 0
  return now < (tonumber(h.distrust_until) or 0) or now - refused < HOUR and limit - told < 0.02 * limit
end

local live = live_leases(now, true) -- permits whose send may not have ended
if could_say then
  set_limit(number('limit'))
  redis.call('HSET', gate, 'limit', int(limit))
end
if could_say and not stale then
  if refused_today() then told = math.max(told, limit) end
  if not trusted then
    used = math.max(used, told + live)
  elseif told > used then
    -- Others use the quota too. Of ours, WeChat has all with a slot 5 s before the
    -- question: so long a call takes at most from its slot.
    used = told + live_leases(asked * 1000 - 5 * SECOND + LEASE, true)
  elseif asked ~= tonumber(h.reconciled) then -- of one millisecond: an earlier answer may be the later count
    used = math.min(used, told + live + math.ceil(cap / 100)) -- its counts are good to 1 %
  end
  h.reconciled = int(asked)
  redis.call('HSET', gate, 'reconciled', h.reconciled)
  if pauses['quota-refused'] and limit > told then
    pauses['quota-refused'] = nil
    save_pauses()
    start_ramp(now_ms)
  end
elseif not trusted then
  if stale and now >= minute_end then return reply({used = used, version = version, stale = 1}) end
  used = math.max(used, live)
end
version = math.max(now, version + 1)
if not trusted then redis.call('HSET', gate, 'restarted', int(version)) end
redis.call('HSET', gate, 'day', int(day), 'used', int(used), 'version', int(version), 'trusted', '1')
redis.call('HDEL', gate, 'announced')
keep_alive()
publish('reconcile')
return reply({used = used, version = version, stale = stale and 1 or 0})
