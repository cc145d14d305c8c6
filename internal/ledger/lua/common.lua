-- Shared by the scripts that change a record.
-- KEYS[1] the record unless R says otherwise, KEYS[2] the day's counts: the same
-- in each of them. Letters of the states: see State.letter in record.go.
local R = 1

local function ended(s)
  return s == 'd' or s == 'j' or s == 'e' or s == 'c' or s == 'u' or s == 'x'
end

local function extend(live)
  if redis.call('PTTL', KEYS[R]) < tonumber(live) then
    redis.call('PEXPIRE', KEYS[R], live)
  end
end

local function count(letter, n)
  n = n or 1
  if redis.call('HINCRBY', KEYS[2], letter, n) == n then
    redis.call('PEXPIRE', KEYS[2], '691200000') -- 8 days
  end
end

local function finish(s, now, keep)
  redis.call('HSET', KEYS[R], 's', s, 'z', now)
  redis.call('PEXPIRE', KEYS[R], keep)
  count(s)
end

-- A receipt is WeChat's last word on an accepted message.
local function settle(s, receipt, at, keep)
  redis.call('HSET', KEYS[R], 'f', receipt)
  redis.call('HDEL', KEYS[R], 'o', 'k', 'e', 'r')
  if s == 'j' then
    redis.call('HSET', KEYS[R], 'r', receipt)
  end
  finish(s, at, keep)
end

-- A record that was lost while its message was sent is made again, so that it is
-- known whose it is.
local function restore(class, to)
  if class ~= '' then
    redis.call('HSET', KEYS[R], 'c', class)
  end
  if to ~= '' then
    redis.call('HSET', KEYS[R], 't', to)
  end
end
