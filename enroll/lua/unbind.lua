-- Takes an openid from a user; the last one takes the user off the roster, and
-- an openid without a user is removed. Writes a line into the trail of bindings, and the
-- change into the stream of changes if that exists.
-- KEYS: the user's openids, the follower, the roster; then the trail and the changes,
-- unless the person is being erased.
-- ARGV: user, openid, now in ms, the bounds of trail and changes, by whom, then the line
-- of the trail without its action.
local user, openid, now = ARGV[1], ARGV[2], ARGV[3]
local line = {unpack(ARGV, 7)}
redis.call('ZCARD', KEYS[3]) -- an error, before the first write, where names are sealed in another way
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
if gone == 1 and KEYS[4] then
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[4], '*', 'action', 'unbound', unpack(line))
  redis.call('XADD', KEYS[5], 'NOMKSTREAM', 'MAXLEN', '~', ARGV[5], '*',
    'kind', 'unbound', 'user', user, 'openid', openid, 'previous', '', 'how', ARGV[6], 'at', now)
end
return gone
