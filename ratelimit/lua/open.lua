-- Lifts a pause. ARGV reason. Replies {lifted = 1 when there was one}.
if not pauses[arg.reason] then return reply({lifted = 0}) end
pauses[arg.reason] = nil
save_pauses()
-- After an admin's pause sending goes on at once, after trouble in steps.
if arg.reason ~= 'manual' then start_ramp(now_ms) end
keep_alive()
publish('open ' .. arg.reason)
return reply({lifted = 1})
