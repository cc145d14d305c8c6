-- Binds an openid to a user, once for each ticket. Writes a line into the trail of
-- bindings, and the change into the stream of changes if that exists.
-- KEYS: the user's openids, the follower, the roster, the trail, the changes; with a
-- ticket also its state, and the follower's tickets.
-- ARGV: user, openid, now in ms, how, unionid, follows, the most openids of a user, '1'
-- when a further openid is refused, the bounds of trail and changes, the ticket's id (empty:
-- none), when its state ends in ms, the name of this call, then the line of the trail without
-- its action.
-- Returns bound, again (this openid has used the ticket before and is still bound),
-- spent (the ticket was used), taken (a further openid is refused), or full.
local user, openid, now, how, unionid, follows = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local most, first, ticket, ends = tonumber(ARGV[7]), ARGV[8] == '1', ARGV[11], ARGV[12]
local mine, line = now .. ' ' .. ARGV[13], {unpack(ARGV, 14)}

redis.call('ZCARD', KEYS[3]) -- an error, before the first write, where names are sealed in another way
local bound = redis.call('HGET', KEYS[1], openid)
local has = bound and true or false
local answer = 'bound'
-- Whether this very call is repeated after a lost answer. Without a ticket, a binding of the
-- same millisecond is the same.
local repeated = ticket == '' and bound == now .. ' ' .. how
if ticket ~= '' then
  repeated = redis.call('HGET', KEYS[6], 'u') == mine
end
if not repeated and ticket ~= '' and redis.call('HEXISTS', KEYS[6], 'u') == 1 then
  if not has or not redis.call('ZSCORE', KEYS[7], ticket .. ' ' .. user) then
    return 'spent'
  end
  answer = 'again'
end

if answer == 'bound' and not repeated then
  local openids = redis.call('HGETALL', KEYS[1])
  local previous, latest = '', -1
  for i = 1, #openids, 2 do
    local at = tonumber(string.match(openids[i + 1], '^%d+')) or 0
    if openids[i] ~= openid and at > latest then
      previous, latest = openids[i], at
    end
  end
  if not has and first and previous ~= '' then
    return 'taken'
  end
  if not has and #openids / 2 >= most then
    return 'full'
  end
  redis.call('HSET', KEYS[1], openid, now .. ' ' .. how)
  redis.call('HSET', KEYS[2], 'u:' .. user, now .. ' ' .. how)
  redis.call('ZADD', KEYS[3], now, user)
  local kind = 'bound'
  if previous ~= '' then
    kind = 'rebound'
  end
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[9], '*', 'action', kind, unpack(line))
  redis.call('XADD', KEYS[5], 'NOMKSTREAM', 'MAXLEN', '~', ARGV[10], '*',
    'kind', kind, 'user', user, 'openid', openid, 'previous', previous, 'how', how, 'at', now)
  if ticket ~= '' then
    redis.call('HSET', KEYS[6], 'u', mine)
    redis.call('PEXPIREAT', KEYS[6], ends)
    redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', now)
    redis.call('ZADD', KEYS[7], ends, ticket .. ' ' .. user)
    local last = redis.call('ZRANGE', KEYS[7], -1, -1, 'WITHSCORES')
    redis.call('PEXPIREAT', KEYS[7], string.format('%.0f', tonumber(last[2])))
  end
end
if unionid ~= '' then
  redis.call('HSET', KEYS[2], 'n', unionid)
end
if follows ~= '' then
  redis.call('HSET', KEYS[2], 'f', follows)
end
return answer
