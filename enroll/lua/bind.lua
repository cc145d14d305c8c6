-- Binds an openid to a user, once for each ticket.
-- KEYS[1] the user's openids, KEYS[2] the follower, KEYS[3] the roster,
-- KEYS[4] the ticket's state (only with one).
-- Returns bound, again (this openid has used the ticket before), spent
-- (another one has), or full.
local user, openid, now, how, unionid, follows = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local most, mark, keep = tonumber(ARGV[7]), ARGV[8], ARGV[9]

local answer = 'bound'
if KEYS[4] then
  local used = redis.call('HGET', KEYS[4], 'u')
  if used and used ~= mark then
    return 'spent'
  end
  if used and redis.call('HEXISTS', KEYS[1], openid) == 1 then
    answer = 'again'
  end
end
if answer == 'bound' then
  if redis.call('HEXISTS', KEYS[1], openid) == 0 and redis.call('HLEN', KEYS[1]) >= most then
    return 'full'
  end
  redis.call('HSET', KEYS[1], openid, now .. ' ' .. how)
  redis.call('HSET', KEYS[2], 'u:' .. user, now .. ' ' .. how)
  redis.call('ZADD', KEYS[3], now, user)
end
if unionid ~= '' then
  redis.call('HSET', KEYS[2], 'n', unionid)
end
if follows ~= '' then
  redis.call('HSET', KEYS[2], 'f', follows)
end
if KEYS[4] then
  redis.call('HSET', KEYS[4], 'u', mark)
  redis.call('PEXPIRE', KEYS[4], keep)
end
return answer
