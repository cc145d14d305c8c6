-- Part of every script. Every script declares the same six keys, which share the
-- account's hash tag, and takes its arguments as name, value pairs, channel among
-- them, where changes are announced; most replies are name, value pairs too. All times are milliseconds since 1970 on Redis' clock:
-- the clocks of the processes are never compared.
--
-- TOKEN hash    v value  g generation  f fetched at  d refresh due at  e expires at
--               p fingerprint  r 1 once refused  h after a refusal: no fetch before
-- LEASE string  <lease id>:<generation>
-- GEN string    the last generation given out
-- BACKOFF hash  u until  s step  g generation of the failed fetch  j the failure, JSON
--               a failed at  c fingerprint of the AppSecret; nu ns ng nj na nc: the same of processes whose address WeChat refuses
-- COUNT hash    d day  n fetches  f forced  lf last forced at  lg its generation
--               rs tokens refused at once, in a row  rb bucket of fetches that refusals cause
-- WAR list      when a fresh token of ours was refused, newest first
local TOKEN, LEASE, GEN, BACKOFF, COUNT, WAR = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local MINUTE, DAY = 60000, 86400000
local CHINA = 28800000 -- WeChat's day begins at midnight, UTC+8

local arg = {}
for i = 1, #ARGV, 2 do arg[ARGV[i]] = ARGV[i + 1] end

local function number(text) return tonumber(text) or 0 end
local function int(n) return string.format('%.0f', n) end
local function notify(what) redis.call('PUBLISH', arg.channel, what) end

-- clock_set_back reports that Redis' clock was set back since the time at, or that
-- another server with a slower clock took over. Times that were computed from at
-- are then too far in the future and must not be waited for. Differences of up to
-- a minute are tolerated: a refresh comes earlier than that.
local function clock_set_back(at) return at > now + MINUTE end

-- read_token returns TOKEN; value and fingerprint are nil if there is no token.
local function read_token()
  local t = redis.call('HMGET', TOKEN, 'v', 'g', 'f', 'd', 'e', 'p', 'r', 'h')
  local token = {
    value = t[1] or nil, generation = number(t[2]), fetched = number(t[3]), due = number(t[4]),
    expires = number(t[5]), fingerprint = t[6] or nil, refused = t[7] == '1', hold = number(t[8]),
  }
  if clock_set_back(token.fetched) then token.expires, token.hold = 0, 0 end
  return token
end

-- release deletes the lease if it is still the caller's.
local function release()
  if redis.call('GET', LEASE) == arg.lease .. ':' .. arg.generation then redis.call('DEL', LEASE) end
end

-- start_day resets the day's counts when the day has changed. When the clock is set
-- back over midnight, the later day continues, so that no quota is spent twice.
local function start_day()
  local day = math.floor((now + CHINA) / DAY)
  local counted = number(redis.call('HGET', COUNT, 'd'))
  if counted < day or counted > day + 1 then redis.call('HSET', COUNT, 'd', int(day), 'n', '0', 'f', '0') end
  redis.call('PEXPIRE', COUNT, 2 * DAY)
end

-- recent_refusals counts the fresh tokens refused within the last ms.
local function recent_refusals(ms)
  local count = 0
  for _, at in ipairs(redis.call('LRANGE', WAR, 0, -1)) do
    if math.abs(now - tonumber(at)) < ms then count = count + 1 end
  end
  return count
end
