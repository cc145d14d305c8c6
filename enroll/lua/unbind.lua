-- Takes an openid from a user; the last one takes the user off the roster, and
-- an openid without a user is removed.
-- KEYS[1] the user's openids, KEYS[2] the follower, KEYS[3] the roster.
local user, openid = ARGV[1], ARGV[2]
local gone = redis.call('HDEL', KEYS[1], openid)
redis.call('HDEL', KEYS[2], 'u:' .. user)
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('ZREM', KEYS[3], user)
end
local bound = false
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if string.sub(field, 1, 2) == 'u:' then
    bound = true
  end
end
if not bound then
  redis.call('DEL', KEYS[2])
end
return gone
