-- Lifts the pause of a reason, or the pauses that a probe was sent for when WeChat
-- accepted it: a pause in force stays, and one whose probe was followed by another.
-- ARGV reason, or probe: end of its lease, 0: none; call: names this call, a copy of which
-- lifts no later pause. Replies {lifted = number}.
if arg.reason ~= '' then
  if redis.call('HGET', gate, 'opener:' .. arg.reason) == arg.call then return reply({lifted = 0}) end
  redis.call('HSET', gate, 'opener:' .. arg.reason, arg.call)
  keep_alive()
end
local lifted = 0
for reason, p in pairs(pauses) do
  if reason == arg.reason or arg.probe ~= '0' and p.lease == number('probe') then
    pauses[reason] = nil
    lifted = lifted + 1
  end
end
if lifted > 0 then
  save_pauses()
  -- After an admin's pause sending goes on at once, after trouble in steps.
  if arg.reason ~= 'manual' then start_ramp(now_ms) end
  keep_alive()
  publish('open')
end
return reply({lifted = lifted})
