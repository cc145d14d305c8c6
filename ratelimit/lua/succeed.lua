-- A probe was accepted: the pauses that it was sent for end, and the rate goes up
-- in steps. A pause in force stays, and a probe whose lease was followed by
-- another lifts nothing. ARGV probe: the end of its lease. Replies {lifted = number}.
local lifted = 0
for reason, p in pairs(pauses) do
  if p.lease == number('probe') then
    pauses[reason] = nil
    lifted = lifted + 1
  end
end
if lifted > 0 then
  save_pauses()
  start_ramp(now_ms)
  keep_alive()
  publish('open probe')
end
return reply({lifted = lifted})
