-- Put before each verb: reads the gate, knows the day, the cap and the pace.
--
-- KEYS[1] hash of the gate      KEYS[2] zset of leases: member "expiry:day:instance", score = permits
-- ARGV[1] offset of the day (s) ARGV[2] configured quota (0: none)  ARGV[3] share that is reserved
-- ARGV[4] rate (0: none)        ARGV[5] instance: this process
--
-- Fields of the hash
--   d   day: days since 1970 where the day turns     n   calls booked on that day
--   t   theoretical arrival time of the next slot (GCRA), us
--   ok  "1": the count is trusted                    seen "1": that it is missing has been announced
--   lim WeChat's own limit, 0: not known             rec  when WeChat last told the count today, ms
--   pz  pauses, JSON by reason                       rs   when a ramp began, ms
--   sf  factor after a slow-down, and sa when, ms    h    "day:used day:used …", seven of them
--   c:<instance>  the last call of that process, so that a repeated call books nothing twice
--
-- Numbers go through int() before they become text: Lua would print 14 digits only.
local gate, leases = KEYS[1], KEYS[2]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now_ms = math.floor(now / 1000)
local DAY = 86400 * 1000000
local offset = tonumber(ARGV[1]) * 1000000
local instance = ARGV[5]

local function int(x) return string.format('%.0f', x) end

local h = redis.call('HMGET', gate, 'd', 'n', 't', 'ok', 'lim', 'pz', 'rs', 'sf', 'sa', 'h', 'seen', 'rec',
  'c:' .. instance)
local today = math.floor((now + offset) / DAY)
local day = tonumber(h[1]) or today
local used = tonumber(h[2]) or 0
local trusted = h[4] == '1'
local limit = tonumber(h[5]) or 0
-- A clock that goes back over midnight stays on the later day. More than a day
-- ahead, the clock was wrong when the day was written: the count says nothing.
if day > today + 1 then
  day, used, trusted = today, 0, false
end

local cap = tonumber(ARGV[2])
if limit > 0 and (cap == 0 or limit < cap) then cap = limit end
-- Rounded up; 1e-9 absorbs what 0.07 * 100 leaves behind the point.
local keep = math.ceil(tonumber(ARGV[3]) * cap - 1e-9)

local pauses = {}
if h[6] and h[6] ~= '' then pauses = cjson.decode(h[6]) end

local function day_end(d) return (d + 1) * DAY - offset end

-- turn starts the day `to`: yesterday goes to the history, and the memory of
-- calls goes, since nothing of yesterday can be given back any more.
local function turn(to)
  local past = {}
  for entry in string.gmatch(h[10] or '', '%S+') do past[#past + 1] = entry end
  past[#past + 1] = int(day) .. ':' .. int(used)
  local from = math.max(1, #past - 6)
  h[10] = table.concat(past, ' ', from)
  local stale = {'rec'}
  for _, field in ipairs(redis.call('HKEYS', gate)) do
    if string.sub(field, 1, 2) == 'c:' then stale[#stale + 1] = field end
  end
  for _, field in ipairs(stale) do redis.call('HDEL', gate, field) end
  -- A day that ended with its quota gone has a backlog: go up in steps.
  if cap > 0 and used >= cap - keep then
    h[7] = int(math.max(now, day_end(to - 1)) / 1000)
    redis.call('HSET', gate, 'rs', h[7])
  end
  day, used = to, 0
  redis.call('HSET', gate, 'd', int(day), 'n', '0', 'h', h[10])
end

-- pace is the rate in force: configured, slowed, ramping. 0: no limit.
local function pace()
  local rate = tonumber(ARGV[4])
  local full = rate
  local factor, since = tonumber(h[8]), tonumber(h[9])
  if factor and since then
    -- back by a tenth of the rate each minute
    rate = rate * math.min(1, factor + math.max(0, now_ms - since) / 600000)
  end
  local began = tonumber(h[7])
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

-- live_leases counts the permits of today of which WeChat may not know yet, and
-- drops the leases that ran out.
local function live_leases(drop)
  local live = 0
  local all = redis.call('ZRANGE', leases, 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do
    local expiry, of = string.match(all[i], '^(%d+):(%d+):')
    if tonumber(expiry) * 1000000 <= now then
      if drop then redis.call('ZREM', leases, all[i]) end
    elseif tonumber(of) == day then
      live = live + tonumber(all[i + 1])
    end
  end
  return live
end

-- keep_alive: two days, longer for a pause that lasts longer, for ever while a
-- pause waits for somebody to open it (one hash an account is the bound).
local function keep_alive()
  local ttl = 172800000
  for _, p in pairs(pauses) do
    if p.u == 0 then
      redis.call('PERSIST', gate)
      return
    end
    ttl = math.max(ttl, p.u - now_ms + 172800000)
  end
  redis.call('PEXPIRE', gate, int(ttl))
end

local function save_pauses()
  if next(pauses) then
    redis.call('HSET', gate, 'pz', cjson.encode(pauses))
  else
    redis.call('HDEL', gate, 'pz')
  end
end

local function tell(what) redis.call('PUBLISH', gate .. ':events', instance .. ' ' .. what) end

