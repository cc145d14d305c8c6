-- Ask for the token, or for the lease to fetch one.
-- ARGV 1 lease id  2 lease ms  3 mode: peek, want, due, admin  4 generation the
-- caller saw refused (0: none)  5 admin: the token must be newer than this generation
-- Answers: token, refused, none, wait, backoff, hold, lease. The last four end
-- with the generation that is refused, 0 for none.
local id, mode = ARGV[1], ARGV[3]
local t = redis.call('HMGET', TOKEN, 'v', 'g', 'e', 'd', 'f', 'p', 'r', 'h')
local g = tonumber(t[2]) or 0
local refused = t[7] == '1'
if g > 0 and not refused and tonumber(ARGV[4]) >= g then
  redis.call('HSET', TOKEN, 'r', '1') -- a refusal that Redis had not heard of
  refused = true
end
local live = t[1] and not refused and tonumber(t[3]) > now
local serve = live
if mode == 'due' then serve = live and tonumber(t[4]) > now end
if mode == 'admin' then serve = live and g > tonumber(ARGV[5]) end
if serve then
  return {'token', int(g), t[1], int(tonumber(t[3]) - now), int(tonumber(t[4]) - now)}
end

local bad = (refused and int(g)) or '0'
if mode == 'peek' and refused then return {'refused', bad} end
local held = redis.call('GET', LEASE)
if held and mode ~= 'peek' then
  if string.sub(held, 1, #id + 1) == id .. ':' then -- our own question, repeated by the client
    return {'lease', string.sub(held, #id + 2), (refused and t[6]) or '', bad}
  end
  return {'wait', int(redis.call('PTTL', LEASE)), '', bad}
end
if mode ~= 'admin' then
  local b = redis.call('HMGET', BACKOFF, 'u', 'j')
  if (tonumber(b[1]) or 0) > now then return {'backoff', int(tonumber(b[1]) - now), b[2], bad} end
end
if mode == 'peek' then return {'none'} end

-- A refusal causes a fetch only so often: not before the gap that refuse.lua set,
-- and out of a bucket of 60 that regains one a minute, so that whoever kills our
-- tokens, 24 hours of it stay below the 2000 fetches that classic mode has a day.
-- A dropped token (no fingerprint) is an admin's wish and waits for nothing.
if mode ~= 'admin' and refused and t[6] then
  local minute, burst = 60000, 60
  local tat = math.max(tonumber(redis.call('HGET', COUNT, 'rb')) or 0, now)
  local at = math.max(tonumber(t[8]) or 0, tat - (burst - 1) * minute)
  if at > now then return {'hold', int(at - now), '', bad} end
  redis.call('HSET', COUNT, 'rb', int(tat + minute))
end

-- The generation only grows, even over a Redis that lost everything: it is never
-- below the clock. It fences the fetch that this lease allows.
local gen = math.max((tonumber(redis.call('GET', GEN)) or 0) + 1, g + 1, now)
redis.call('SET', GEN, int(gen), 'PX', 30 * DAY)
redis.call('SET', LEASE, id .. ':' .. int(gen), 'PX', ARGV[2])
today()
redis.call('HINCRBY', COUNT, 'n', 1)
return {'lease', int(gen), (refused and t[6]) or '', bad}
