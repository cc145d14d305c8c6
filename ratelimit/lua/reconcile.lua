-- Sets the day's count from WeChat's. ARGV limit, told: WeChat's count; below 0:
-- WeChat could not say. Replies {used}.
local told = number('told')
if trusted and today > day then turn(today) end
if number('limit') >= 0 and told >= 0 then
  set_limit(number('limit'))
  -- Down only to what WeChat may still be going to count: its own figures are
  -- good to 1 %, and permits under a lease may be on their way.
  local floor = told + live_leases(true) + math.ceil(cap / 100)
  if not trusted then
    -- The count was lost, but not what was granted: WeChat may not know it yet.
    used = math.max(used, told + live_leases(true))
  elseif day > today and now >= day_end(today) - 2 * SECOND then
    -- Tomorrow's count has begun, and WeChat tells today's.
  elseif told > used then
    used = told
  elseif floor < used then
    used = floor
  end
  redis.call('HSET', gate, 'limit', int(limit), 'reconciled', int(now_ms))
  if pauses['quota-refused'] and limit > told then
    pauses['quota-refused'] = nil
    save_pauses()
    start_ramp(now_ms)
  end
end
redis.call('HSET', gate, 'day', int(day), 'used', int(used), 'trusted', '1')
redis.call('HDEL', gate, 'announced')
keep_alive()
publish('reconcile')
return reply({used = used})
