-- Takes back what a process did not use and books its next permits.
--
-- ARGV seq      number of this call: the same number again repeats the reply, an earlier one does nothing
--      want     permits wanted, 0: none
--      tier     0 general, 1 reserved
--      version  the last one of the count that the process knows, 0: none
--      granted  seq of the last call that was granted permits of that version, 0: none
--      probe    end of the lease of a probe that is returned, 0: none
--      returns  returned permits, "lease=number lease=number …"
--
-- Replies {granted = number, first = slot, us, gap = ns between slots, day, tier,
--          lease, probe = end of the probe's lease, ms, 0: no probe, version, now = us}
--      or {closed = reason, detail, wait = ms until it opens, -1: when Open is called}
--      or {granted = 0} when nothing was wanted, or the repeated call had booked nothing

-- remembered is the reply to this process's last call, and its seq.
local remembered = {}
for name, value in string.gmatch(h[my_call] or '', '(%S+)=(%S+)') do remembered[name] = value end

local function remember(fields)
  fields.seq = arg.seq
  local text = {}
  for name, value in pairs(fields) do
    if type(value) == 'number' then value = int(value) end
    text[#text + 1] = name .. '=' .. value
  end
  redis.call('HSET', gate, 'day', int(day), 'used', int(used), my_call, table.concat(text, ' '))
  keep_alive()
end

local function closed(reason, detail, wait) return reply({closed = reason, detail = detail, wait = wait}) end

-- find_lost_writes distrusts the count when this process knows a later version, or
-- a later call of its own, than Redis does: Redis came back without its last
-- writes, as after a power cut or a fail-over, and so did the count. When a count that
-- was missing had been restored by an answer, that answer is lost.
local function find_lost_writes()
  local known = number('version')
  local later = known > version
  local lost = later or known == version and (tonumber(remembered.seq) or 0) < number('granted')
  if trusted and lost or later and version > 0 then
    trusted, h.announced = false, nil
    redis.call('HDEL', gate, 'trusted', 'announced')
    redis.call('HSET', gate, 'lost_at', int(now_ms))
  end
  if later then -- the next one must be later than any that a process knows
    version = known
    redis.call('HSET', gate, 'version', int(version))
  end
end

-- take_back lowers the count by what is returned. A lease that ended may have been
-- written off by Reconcile. One of another day is void, and one of before the count
-- was lost: its permit may be among the lost ones.
local function take_back()
  local used_up = cap > 0 and used >= cap - keep
  for lease, n in string.gmatch(arg.returns, '(%S+)=(%d+)') do
    local leased = tonumber(redis.call('ZSCORE', leases, lease) or nil)
    local expiry, of, made = string.match(lease, '^(%d+):(%d+):(%d+):')
    if leased and tonumber(expiry) * SECOND > now and tonumber(made) >= (tonumber(h.restarted) or 0) then
      n = math.min(tonumber(n), leased)
      if n == leased then
        redis.call('ZREM', leases, lease)
      else
        redis.call('ZINCRBY', leases, int(-n), lease)
      end
      if tonumber(of) == day then used = math.max(0, used - n) end
    end
  end
  for _, p in pairs(pauses) do
    if arg.probe ~= '0' and p.lease == number('probe') then
      p.lease = 0
      save_pauses()
      publish('free')
    end
  end
  if trusted and arg.returns ~= '' then
    remember({granted = 0})
    if used_up and used < cap - keep then publish('free') end
  end
end

local ENDLESS = math.huge

-- longest_pause deletes the pauses that are over and returns the reason and the
-- end (ms) of the one that lasts longest, an admin's before another of the same
-- length; and whether a pause has come to its probe.
local function longest_pause()
  local worst, worst_ends, half_open
  local over = false
  for reason, p in pairs(pauses) do
    local till = p.ends
    if till ~= 0 and now_ms >= till then
      if p.probe ~= 1 then
        pauses[reason], till, over = nil, nil, true
      elseif p.lease > now_ms then
        till = p.lease
      else
        till, half_open = nil, true
      end
    end
    if till == 0 then till = ENDLESS end
    if till and (not worst or till > worst_ends or till == worst_ends and reason == 'manual') then
      worst, worst_ends = reason, till
    end
  end
  if over then save_pauses() end
  return worst, worst_ends, half_open
end

-- first_slot is the next free slot of the rate, us, and the distance of slots.
-- 25 ms of missed slots are caught up.
local function first_slot(rate)
  local first, gap = now, 0
  if rate > 0 then
    gap = SECOND / rate
    first = math.max(tonumber(h.next_slot) or 0, now - 25000)
    -- it is so far ahead only when the clock went back
    if first - now > math.max(30 * SECOND, 1000 * gap) then first = now end
  end
  -- no slot before its day, which is begun a second early, or earlier when the clock went back
  if now >= day_start(day) - SECOND then first = math.max(first, day_start(day)) end
  return first, gap
end

if remembered.seq == arg.seq then return reply(remembered) end
-- A later call is made when this one was answered: it is a copy that comes late.
if (tonumber(remembered.seq) or 0) > number('seq') then return reply({granted = 0}) end
begin_day()
find_lost_writes()
take_back()
if not trusted and not h.announced then
  -- Nothing is booked without a count, and permits booked before are revoked.
  redis.call('HSET', gate, 'announced', '1')
  keep_alive()
  publish('close unreconciled')
end
local want = number('want')
if want <= 0 then return reply({granted = 0}) end

local worst, worst_ends, half_open = longest_pause()
if worst then
  return closed(worst, pauses[worst].detail, worst_ends == ENDLESS and -1 or worst_ends - now_ms)
end
if not trusted then return closed('unreconciled', '', -1) end

-- The last second belongs to the next day: what is fetched then may reach WeChat
-- after midnight.
local rate = rate_in_force()
local first, gap = first_slot(rate)
if first >= day_end(day) - SECOND then
  if day > today then
    -- tomorrow's slots are all booked: only with very low rates
    return closed('quota', 'the next slot is after tomorrow', math.ceil((day_end(today) - now) / 1000))
  end
  first = day_end(day)
  turn(day + 1)
end

-- The quota: general stops before the reserve.
local left, tier = -1, 0
if cap > 0 then
  left = cap - keep - used
  if left <= 0 and arg.tier == '1' then left, tier = cap - used, 1 end
  if left <= 0 then
    local detail = int(used) .. ' of ' .. int(cap)
    if used < cap then detail = detail .. ', the last ' .. int(keep) .. ' are reserved' end
    return closed('quota', detail, math.ceil((day_end(day) - now) / 1000))
  end
end

-- How many: at most half a second's worth, fewer when the next slot is ahead
-- already, fewer near the cap, so that no process holds the last permits.
local n = want
if rate > 0 then
  n = math.min(n, math.max(1, math.floor(rate / 2)))
  n = math.max(1, math.floor(n * (1 - math.max(0, first - now) / (2 * SECOND))))
  n = math.min(n, math.max(1, math.ceil((day_end(day) - SECOND - first) / gap)))
end
if left >= 0 then n = math.min(n, math.ceil(left / 16)) end
local probe = 0
if half_open then
  n, probe = 1, now_ms + 30000
  for _, p in pairs(pauses) do p.lease = probe end
  save_pauses()
end

-- The lease outlives the last slot by a minute: then its send has ended.
used = used + n
local after = math.ceil(first + n * gap)
if rate > 0 then redis.call('HSET', gate, 'next_slot', int(after)) end
local expiry = (math.floor((math.max(after, now) + LEASE) / SECOND / 10) + 1) * 10
local lease = table.concat({int(expiry), int(day), int(version), arg.instance}, ':')
if tonumber(redis.call('ZINCRBY', leases, int(n), lease)) == n then
  live_leases(now, true)
  local ttl = tonumber(redis.call('PTTL', leases)) or -1
  redis.call('PEXPIRE', leases, int(math.max(ttl, expiry * 1000 - now_ms + 60000)))
end
local fields = {
  granted = n, first = math.floor(first), gap = math.floor(gap * 1000), day = day, tier = tier,
  lease = lease, probe = probe, version = version, now = now,
}
remember(fields)
return reply(fields)
