-- The probe ARGV[6] was accepted: the pauses that it was sent for go, and the rate
-- goes up in steps. A pause that is in force stays, and a probe whose lease was
-- followed by another has no say. returns the pauses lifted.
local lifted = 0
for reason, p in pairs(pauses) do
  if p.l == tonumber(ARGV[6]) then
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
