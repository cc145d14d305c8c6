-- Keep a fetched token, unless a newer one is there.
-- ARGV 1 lease id  2 generation  3 value  4 life ms  5 refresh due in ms  6 fingerprint
local gen = tonumber(ARGV[2])
local g = tonumber(redis.call('HGET', TOKEN, 'g')) or 0
release(ARGV[1] .. ':' .. ARGV[2])
if g > gen then
  notify('older')
  return 0
end
if g == gen then return 1 end -- repeated by the client
redis.call('DEL', TOKEN)
redis.call('HSET', TOKEN, 'v', ARGV[3], 'g', ARGV[2], 'f', int(now), 'e', int(now + ARGV[4]),
  'd', int(now + ARGV[5]), 'p', ARGV[6])
redis.call('PEXPIRE', TOKEN, ARGV[4] + 60000)
redis.call('DEL', BACKOFF)
notify('kept')
return 1
