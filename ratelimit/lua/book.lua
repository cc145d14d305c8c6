-- Books the next permits, and takes back what a process did not use.
--
-- ARGV[6] number of this call: the same number again repeats the answer
-- ARGV[7] permits wanted, 0: only give back
-- ARGV[8] tier: 0 general, 1 reserved
-- ARGV[9] end of the lease of a probe that comes back unused, 0: none
-- ARGV[10] number of the last call that was granted permits, 0: none  [11] their day
-- ARGV[12…] pairs: lease, permits given back
--
-- returns {k, first slot us, ns between slots, day, tier of the permits, lease, probe, now us}
--         where probe is 0 or the end of the probe's lease, ms
--      or {0, reason, detail, ms until it opens (-1: when somebody opens it), day}
--      or {0} when nothing was wanted, or a repeated call had booked nothing
local me = 'c:' .. instance
local seq, want, tier = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])

-- The answer to this very call got lost on its way: say it again.
if h[13] then
  local n, k, first, gap, d, t, lease, probe =
    string.match(h[13], '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d) (%S+) (%d+)$')
  if n == seq then
    if k == '0' then return {0} end
    return {tonumber(k), tonumber(first), tonumber(gap), tonumber(d), tonumber(t), lease, tonumber(probe), now}
  end
end

if trusted and today > day then turn(today) end

-- A call that was answered is not in the memory: Redis came back without its
-- last writes, as after a power cut or a fail-over, and so did the count. All
-- memories go, so that one loss is found once and not by each process.
local last = h[13] and tonumber(string.match(h[13], '^(%d+)'))
if trusted and last and last < tonumber(ARGV[10]) and tonumber(ARGV[11]) == day then
  trusted, h[11] = false, false
  local stale = {'ok', 'seen'}
  for _, field in ipairs(redis.call('HKEYS', gate)) do
    if string.sub(field, 1, 2) == 'c:' then stale[#stale + 1] = field end
  end
  for _, field in ipairs(stale) do redis.call('HDEL', gate, field) end
end

local function remember(k, first, gap, of, lease, probe)
  redis.call('HSET', gate, 'd', int(day), 'n', int(used), me,
    table.concat({seq, int(k), int(first), int(gap), int(day), of, lease, int(probe)}, ' '))
  keep_alive()
end

-- 1. What comes back. A lease that ran out may have been written off by
-- Reconcile already, and one of another day is no longer worth anything.
local back = 0
local was_gone = cap > 0 and used >= cap - keep
for i = 12, #ARGV, 2 do
  local lease, k = ARGV[i], tonumber(ARGV[i + 1])
  local held = tonumber(redis.call('ZSCORE', leases, lease) or nil)
  local expiry, of = string.match(lease, '^(%d+):(%d+):')
  if held and tonumber(expiry) * 1000000 > now then
    k = math.min(k, held)
    if k == held then
      redis.call('ZREM', leases, lease)
    else
      redis.call('ZINCRBY', leases, int(-k), lease)
    end
    if tonumber(of) == day then back = back + k end
  end
end
used = math.max(0, used - back)
for _, p in pairs(pauses) do
  if ARGV[9] ~= '0' and p.l == tonumber(ARGV[9]) then
    p.l = 0
    save_pauses()
    tell('free')
  end
end
if trusted and #ARGV >= 12 then
  remember(0, 0, 0, 0, '-', 0)
  if was_gone and used < cap - keep then tell('free') end
end
if want <= 0 then return {0} end

local function closed(reason, detail, wait) return {0, reason, detail, wait, day} end

-- 2. Pauses: the longest speaks; of a half-open gate one permit at a time.
-- An admin's word goes before a machine's of the same length.
local function speaks(reason, till, other, other_until)
  if not other then return true end
  if till == other_until then return reason == 'manual' end
  return other_until ~= 0 and (till == 0 or till > other_until)
end
local worst, worst_until, half
local changed = false
for reason, p in pairs(pauses) do
  local till = p.u
  if till ~= 0 and now_ms >= till then
    if p.p ~= 1 then
      pauses[reason] = nil
      changed = true
      till = nil
    elseif p.l > now_ms then
      till = p.l
    else
      till = nil
      half = true
    end
  end
  if till then
    if speaks(reason, till, worst, worst_until) then worst, worst_until = reason, till end
  end
end
if changed then save_pauses() end
if worst then
  local wait = -1
  if worst_until ~= 0 then wait = worst_until - now_ms end
  return closed(worst, pauses[worst].d, wait)
end

-- 3. Without a count nothing is booked, and permits of before are void.
if not trusted then
  if not h[11] then
    redis.call('HSET', gate, 'seen', '1')
    keep_alive()
    tell('close unreconciled')
  end
  return closed('unreconciled', '', -1)
end

-- 4. The first slot. The last second belongs to the next day: what is fetched
-- then may reach WeChat after midnight. 25 ms of missed slots are caught up.
local rate = pace()
local gap = 0
local first = now
if rate > 0 then
  gap = 1000000 / rate
  first = math.max(tonumber(h[3]) or 0, now - 25000)
  -- so far ahead only because the clock went back
  if first - now > math.max(30000000, 1000 * gap) then first = now end
end
if first >= day_end(day) - 1000000 then
  if day > today then
    -- tomorrow is booked out before it began: only with very low rates
    return closed('quota', 'the next slot is after tomorrow', math.ceil((day_end(today) - now) / 1000))
  end
  first = day_end(day)
  turn(day + 1)
end

-- 5. The quota: general stops before the reserve.
local left, of = -1, 0
if cap > 0 then
  left = cap - keep - used
  if left <= 0 and tier == 1 then
    left = cap - used
    of = 1
  end
  if left <= 0 then
    local detail = int(used) .. ' of ' .. int(cap)
    if used < cap then detail = detail .. ', the last ' .. int(keep) .. ' are reserved' end
    return closed('quota', detail, math.ceil((day_end(day) - now) / 1000))
  end
end

-- 6. How many: half a second's worth, less when others have booked ahead
-- already, less near the end, so that nobody sits on the last permits.
local k = want
if rate > 0 then
  k = math.min(k, math.max(1, math.floor(rate / 2)))
  k = math.max(1, math.floor(k * (1 - math.max(0, first - now) / 2000000)))
  k = math.min(k, math.max(1, math.ceil((day_end(day) - 1000000 - first) / gap)))
end
if left >= 0 then k = math.min(k, math.ceil(left / 16)) end
local probe = 0
if half then
  k, probe = 1, now_ms + 30000
  for _, p in pairs(pauses) do p.l = probe end
  save_pauses()
end

-- 7. Book. The lease outlives the last slot by a minute: then its send has ended.
used = used + k
local after = math.ceil(first + k * gap)
if rate > 0 then redis.call('HSET', gate, 't', int(after)) end
local expiry = (math.floor((math.max(after, now) / 1000000 + 60) / 10) + 1) * 10
local lease = int(expiry) .. ':' .. int(day) .. ':' .. instance
if tonumber(redis.call('ZINCRBY', leases, int(k), lease)) == k then
  live_leases(true)
  local ttl = tonumber(redis.call('PTTL', leases)) or -1
  redis.call('PEXPIRE', leases, int(math.max(ttl, expiry * 1000 - now_ms + 60000)))
end
first = math.floor(first)
remember(k, first, math.floor(gap * 1000), of, lease, probe)
return {k, first, math.floor(gap * 1000), day, of, lease, probe, now}
