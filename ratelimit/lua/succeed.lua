-- A probe was accepted: every half-open pause goes, and the rate goes up in steps.
-- A pause that is still in force stays. returns the pauses lifted.
local lifted = 0
for reason, p in pairs(pauses) do
  if p.p == 1 and p.u ~= 0 and now_ms >= p.u then
    pauses[reason] = nil
    lifted = lifted + 1
  end
end
if lifted == 0 then return 0 end
save_pauses()
redis.call('HSET', gate, 'rs', int(now_ms))
keep_alive()
tell('open probe')
return lifted
