-- Stores a fetched token unless a newer one is there.
-- lease, generation, value, fingerprint, life_ms, due_ms
-- Reply: kept 1, or 0 if a newer one is there; recovered 1 when the fetch before failed.
local stored = number(redis.call('HGET', TOKEN, 'g'))
release()
if stored > tonumber(arg.generation) then
  notify('older')
  return {'kept', 0}
end
if stored == tonumber(arg.generation) then return {'kept', 1} end -- go-redis repeated this call
redis.call('DEL', TOKEN)
redis.call('HSET', TOKEN, 'v', arg.value, 'g', arg.generation, 'f', int(now), 'e', int(now + arg.life_ms),
  'd', int(now + arg.due_ms), 'p', arg.fingerprint)
redis.call('PEXPIRE', TOKEN, int(arg.life_ms + MINUTE))
local recovered = redis.call('DEL', BACKOFF)
notify('kept')
return {'kept', 1, 'recovered', recovered}
