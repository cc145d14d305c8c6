-- Adds a suppression and removes some that are over.
-- KEYS: the suppressions, their index by end, when they began.
-- ARGV: the openid with the template, the end (0: none), the reason, now, '1' for an
-- admin's; then WeChat's reasons.
local member, till, reason, now, admin = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', '0', '100')
if #over > 0 then
  redis.call('HDEL', KEYS[1], unpack(over))
  redis.call('HDEL', KEYS[3], unpack(over))
  redis.call('ZREM', KEYS[2], unpack(over))
end
local old, why = string.match(redis.call('HGET', KEYS[1], member) or '', '^(%d+) ?(.*)$')
local in_force = old and (old == '0' or tonumber(old) > tonumber(now))
if admin == '1' then
  reason = '@' .. reason
elseif in_force then
  local ours = why == reason
  for i = 6, #ARGV do
    ours = ours or why == ARGV[i]
  end
  local longer = old == '0' or (till ~= '0' and tonumber(old) > tonumber(till))
  if longer or not ours then
    return #over -- an admin's stays, and so does one that lasts longer
  end
end
redis.call('HSET', KEYS[1], member, till .. ' ' .. reason)
if not in_force or why ~= reason then -- else it is prolonged
  redis.call('HSET', KEYS[3], member, now)
end
if till == '0' then
  redis.call('ZREM', KEYS[2], member)
else
  redis.call('ZADD', KEYS[2], till, member)
end
return #over
