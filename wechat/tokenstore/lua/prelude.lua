-- Shared by all scripts of the room. Every script declares the same six keys,
-- all under the account's hash tag, and lives by Redis' own clock: the clocks of
-- the processes are never compared.
--
-- TOKEN hash    v value  g generation  f fetched  d refresh due  e expires  p fingerprint
--               r refused  h no fetch before, once refused
-- LEASE string  <lease id>:<generation>
-- GEN string    the last generation given out
-- BACKOFF hash  u until  s step  g generation of the failed fetch  j the failure, JSON
-- COUNT hash    d day  n fetches  f forced  lf last forced  lg its generation
--               rs refused at once, in a row  rb bucket of fetches that refusals cause
-- WAR list      when a fresh token of ours was refused, newest first
-- All times are milliseconds since 1970.
local TOKEN, LEASE, GEN, BACKOFF, COUNT, WAR = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local DAY = 86400000
local CHINA = 28800000 -- WeChat's day turns at UTC+8

local function int(n) return string.format('%.0f', n) end

local function notify(what) redis.call('PUBLISH', TOKEN .. ':notice', what) end

-- release frees the lease if mine is still the one that is held.
local function release(mine)
  if redis.call('GET', LEASE) == mine then redis.call('DEL', LEASE) end
end

-- today begins the day's counts anew when the day has turned. A clock that went
-- back over midnight stays on the later day, so that no count is given twice.
local function today()
  local day = math.floor((now + CHINA) / DAY)
  local was = tonumber(redis.call('HGET', COUNT, 'd')) or 0
  if was < day then redis.call('HSET', COUNT, 'd', int(day), 'n', '0', 'f', '0') end
  redis.call('PEXPIRE', COUNT, 2 * DAY)
end
