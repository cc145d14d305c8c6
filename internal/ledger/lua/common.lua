-- Shared by the scripts that change a record.
-- KEYS[1] the record, KEYS[2] the day's counts: the same in each of them.
-- Letters of the states: see State.letter in record.go.

local function ended(s)
  return s == 'd' or s == 'j' or s == 'e' or s == 'c' or s == 'u' or s == 'x'
end

local function extend(live)
  if redis.call('PTTL', KEYS[1]) < tonumber(live) then
    redis.call('PEXPIRE', KEYS[1], live)
  end
end

local function count(s)
  if redis.call('HINCRBY', KEYS[2], s, 1) == 1 then
    redis.call('PEXPIRE', KEYS[2], '691200000') -- 8 days
  end
end

local function finish(s, now, keep)
  redis.call('HSET', KEYS[1], 's', s, 'z', now)
  redis.call('PEXPIRE', KEYS[1], keep)
  count(s)
end

-- A receipt is WeChat's last word on an accepted message.
local function settle(s, receipt, at, keep)
  redis.call('HSET', KEYS[1], 'f', receipt)
  redis.call('HDEL', KEYS[1], 'o', 'k', 'e', 'r')
  if s == 'j' then
    redis.call('HSET', KEYS[1], 'r', receipt)
  end
  finish(s, at, keep)
end
