-- Lifts the pause of ARGV[6]. returns 1 when there was one.
local reason = ARGV[6]
if not pauses[reason] then return 0 end
pauses[reason] = nil
save_pauses()
-- What an admin held may go on at once; after trouble the rate goes up in steps.
if reason ~= 'manual' then redis.call('HSET', gate, 'rs', int(now_ms)) end
keep_alive()
tell('open ' .. reason)
return 1
