-- Put before each script: reads the gate, knows the day, the cap and the rate.
--
-- KEYS[1] the gate, a hash    KEYS[2] the leases, a zset: member "expiry:day:version:instance", score = permits
-- ARGV    pairs of a name and a value. Every script gets
--   offset  of the day from UTC, s       quota     configured calls a day, 0: none
--   rate    sends a second, 0: no limit  reserve   share of the quota that only tier 1 may use
--   channel  where events are published  instance  the calling process
-- Replies are pairs of a name and a text.
--
-- Fields of the hash; all times are by Redis' clock
--   day          days since 1970 where the day turns      used       calls booked on that day
--   trusted      "1": the count is true                   announced  "1": that it is missing was published
--   version      of the count, us: grows with each day and each correction
--   lost_at      when lost writes were found, ms           restarted  version at which a missing count started
--   limit        WeChat's own limit, 0: not known         reconciled when WeChat was last asked for the count today, ms
--   next_slot    theoretical arrival time of GCRA, us     pauses     JSON by reason
--   ramp_since   when a ramp began, ms
--   slow_factor  after errcode 45011, and slow_since, ms
--   closed:<reason>  when it last closed for that reason, us; for quota-refused: today
--   closer:<reason>  the call that closed last for that reason, and opener:<reason> that lifted last
--   distrust_until   WeChat's count is not believed before, us
--   call:<instance>  the reply to the last call of that process, so that a repeated call books nothing twice
local gate, leases = KEYS[1], KEYS[2]
local SECOND, HOUR, DAY = 1000000, 3600 * 1000000, 86400 * 1000000
local LEASE = 60 * SECOND -- a block's lease ends so long after its last slot, or up to 10 s later
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * SECOND + tonumber(clock[2])
local now_ms = math.floor(now / 1000)

-- int writes a whole number: Lua itself would write 14 digits only.
local function int(x) return string.format('%.0f', x) end

local arg = {}
for i = 1, #ARGV, 2 do arg[ARGV[i]] = ARGV[i + 1] end

-- number reads a named argument.
local function number(name) return tonumber(arg[name]) end

local function reply(fields)
  local out = {}
  for name, value in pairs(fields) do
    if type(value) == 'number' then value = int(value) end
    out[#out + 1] = name
    out[#out + 1] = value
  end
  return out
end

local my_call = 'call:' .. arg.instance
local names = {
  'day', 'used', 'trusted', 'announced', 'limit', 'reconciled', 'next_slot',
  'ramp_since', 'pauses', 'slow_factor', 'slow_since', 'version', 'lost_at', 'restarted', 'closed:quota-refused', 'distrust_until', my_call,
}
local h = {}
for i, value in ipairs(redis.call('HMGET', gate, unpack(names))) do h[names[i]] = value or nil end

local offset = number('offset') * SECOND
local function day_start(d) return d * DAY - offset end
local function day_end(d) return day_start(d + 1) end
local today = math.floor((now + offset) / DAY)
local day = tonumber(h.day) or today
local used = tonumber(h.used) or 0
local version = tonumber(h.version) or 0
local trusted = h.trusted == '1'
-- When the clock goes back over midnight, the later day stays. More than a day
-- ahead, the clock was wrong when the day was written: the count says nothing.
if day > today + 1 then
  day, used, trusted = today, 0, false
end

local limit, cap, keep
-- set_limit takes WeChat's limit: the lower of two binds. The reserve is rounded
-- up; 1e-9 absorbs what 0.07 * 100 leaves behind the point.
local function set_limit(to)
  limit, cap = to, number('quota')
  if limit > 0 and (cap == 0 or limit < cap) then cap = limit end
  keep = math.ceil(number('reserve') * cap - 1e-9)
end
set_limit(tonumber(h.limit) or 0)

-- A pause has ends (ms, 0: with Open), probe (1: probe then), since, owner,
-- detail, failures (probes that failed in a row) and lease (of the probe, ms).
local pauses = {}
if h.pauses then pauses = cjson.decode(h.pauses) end

local function save_pauses()
  if next(pauses) then
    redis.call('HSET', gate, 'pauses', cjson.encode(pauses))
  else
    redis.call('HDEL', gate, 'pauses')
  end
end

local function start_ramp(at_ms)
  h.ramp_since = at_ms
  redis.call('HSET', gate, 'ramp_since', int(at_ms))
end

-- turn starts the day `to`: nothing that was said, booked or refused on the day
-- before counts any more.
local function turn(to)
  h.reconciled, h['closed:quota-refused'], h.distrust_until = nil, nil, nil
  redis.call('HDEL', gate, 'reconciled', 'closed:quota-refused', 'distrust_until')
  for _, field in ipairs(redis.call('HKEYS', gate)) do
    if string.sub(field, 1, 5) == 'call:' then redis.call('HDEL', gate, field) end
  end
  -- A day that ended with its quota used up has a backlog: go up in steps.
  if cap > 0 and used >= cap - keep then start_ramp(math.max(now, day_start(to)) / 1000) end
  day, used, version = to, 0, math.max(day_start(to), version + 1)
  redis.call('HSET', gate, 'day', int(day), 'used', '0', 'version', int(version))
end

-- begin_day comes first in the scripts that book, close and reconcile.
local function begin_day()
  if today > day then turn(today) end
end

-- rate_in_force is the configured rate, slowed, ramping. 0: no limit.
local function rate_in_force()
  local full = number('rate')
  local rate = full
  local factor, since = tonumber(h.slow_factor), tonumber(h.slow_since)
  if factor and since then
    -- back by a tenth of the rate each minute
    rate = rate * math.min(1, factor + math.max(0, now_ms - since) / 600000)
  end
  local began = tonumber(h.ramp_since)
  if began and now_ms >= began - 1000 then
    local steps = math.max(0, math.floor((now_ms - began) / 1000))
    if full > 0 and steps < 4 then
      rate = math.max(rate * 2 ^ steps / 16, math.min(rate, 2))
    elseif full == 0 and steps < 10 then
      rate = 16 * 2 ^ steps
    end
  end
  return rate
end

-- live_leases counts the permits of the day under leases that end after `ended`
-- (us), and deletes the other leases: their permits are not taken back any more.
local function live_leases(ended, delete)
  local live = 0
  local all = redis.call('ZRANGE', leases, 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do
    local expiry, of = string.match(all[i], '^(%d+):(%d+):')
    if tonumber(expiry) * SECOND <= ended then
      if delete then redis.call('ZREM', leases, all[i]) end
    elseif tonumber(of) == day then
      live = live + tonumber(all[i + 1])
    end
  end
  return live
end

-- keep_alive keeps the gate for two days, longer for a pause that lasts longer: ten
-- years for one until Open.
local function keep_alive()
  local longest = 0
  for _, p in pairs(pauses) do
    longest = math.max(longest, p.ends == 0 and 315360000000 or p.ends - now_ms)
  end
  redis.call('PEXPIRE', gate, int(longest + 172800000))
end

local function publish(event) redis.call('PUBLISH', arg.channel, arg.instance .. ' ' .. event) end

