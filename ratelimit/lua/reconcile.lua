-- Sets the day's count from WeChat's. ARGV[6] limit  [7] used; below 0: WeChat could not say
-- returns the count now.
local told_limit, told_used = tonumber(ARGV[6]), tonumber(ARGV[7])
if trusted and today > day then turn(today) end
local could_say = told_limit >= 0 and told_used >= 0
if could_say then
  limit = told_limit
  cap = tonumber(ARGV[2])
  if limit > 0 and (cap == 0 or limit < cap) then cap = limit end
  -- Down only to what WeChat may still be going to count: its own figures are
  -- good to 1 %, and permits under a lease may be on their way.
  local floor = told_used + live_leases(true) + math.ceil(cap / 100)
  if not trusted then
    -- The count was lost, but not what was granted: WeChat may not know it yet.
    used = math.max(used, told_used + live_leases(true))
  elseif day > today and now >= day_end(today) - 2000000 then
    -- Tomorrow's count has begun, and WeChat tells today's.
  elseif told_used > used then
    used = told_used
  elseif floor < used then
    used = floor
  end
  redis.call('HSET', gate, 'lim', int(limit), 'rec', int(now_ms))
  if pauses['quota-refused'] and limit > told_used then
    pauses['quota-refused'] = nil
    save_pauses()
    redis.call('HSET', gate, 'rs', int(now_ms))
  end
end
redis.call('HSET', gate, 'd', int(day), 'n', int(used), 'ok', '1')
redis.call('HDEL', gate, 'seen')
keep_alive()
tell('reconcile')
return used
