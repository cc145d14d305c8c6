-- Returns the token, or a lease to fetch one, or why there is neither.
-- lease       id of the lease, if one is given     lease_ms  its length
-- mode        peek: give no lease; want: any token that works; due: a token that is
--             not due for its refresh; admin: another token than previous, despite
--             the back-off
-- refused     the generation that the caller saw refused last, 0: none
-- previous    admin: a generation
-- secret      fingerprint of the caller's AppSecret in its first call, else empty: the failure
--             of another secret is not waited for
-- unlisted    1: WeChat refused the caller's address at its last fetch, else 0
-- Reply: kind, and with
--   token     generation, value, expires_ms, due_ms
--   lease     generation, fingerprint of the refused token, if one caused this fetch
--   wait      ms that another process's lease lasts
--   backoff   ms, failure
--   hold      ms until a refusal may cause a fetch
--   none      peek: nothing prevents a fetch
-- Replies without a token have refused: the generation in Redis if it is refused, else 0.
local token = read_token()
-- Generations are compared for equality only: if Redis has lost its data, a new
-- token may have a lower generation than one that the caller remembers as refused.
if token.generation > 0 and token.generation == tonumber(arg.refused) and not token.refused then
  redis.call('HSET', TOKEN, 'r', '1') -- Redis did not answer when the caller saw the refusal
  token.refused = true
end

local good = token.value and not token.refused and token.expires > now
if arg.mode == 'due' then good = good and token.due > now end
if arg.mode == 'admin' then good = good and token.generation ~= tonumber(arg.previous) end
if good then
  return {'kind', 'token', 'generation', int(token.generation), 'value', token.value,
    'expires_ms', int(token.expires - now), 'due_ms', int(token.due - now)}
end

local refused = (token.refused and int(token.generation)) or '0'
local function answer(kind, ...) return {'kind', kind, 'refused', refused, ...} end
local function lease(generation)
  return answer('lease', 'generation', generation, 'fingerprint', (token.refused and token.fingerprint) or '')
end

if arg.mode == 'peek' and token.refused then return answer('none') end
local held = redis.call('GET', LEASE)
if held and arg.mode ~= 'peek' then
  if string.sub(held, 1, #arg.lease + 1) == arg.lease .. ':' then -- go-redis repeated this call
    return lease(string.sub(held, #arg.lease + 2))
  end
  return answer('wait', 'ms', int(redis.call('PTTL', LEASE)))
end
if arg.mode ~= 'admin' then
  local b = redis.call('HMGET', BACKOFF, 'u', 'j', 'a', 'nu', 'nj', 'na', 'c', 'nc')
  local function back_off(ends, failure, at, secret)
    local ours = arg.secret == '' or (secret or '') == '' or secret == arg.secret
    if ours and number(ends) > now and not clock_set_back(number(at)) then
      return answer('backoff', 'ms', int(tonumber(ends) - now), 'failure', failure)
    end
  end
  local reply = back_off(b[1], b[2], b[3], b[7])
  if not reply and arg.unlisted == '1' then reply = back_off(b[4], b[5], b[6], b[8]) end
  if reply then return reply end
end
if arg.mode == 'peek' then return answer('none') end

-- A refusal may cause a fetch after the gap set by refuse.lua, and only from a
-- bucket of 60 that regains one a minute: however often tokens are refused, a day
-- costs less than the 2000 fetches that WeChat allows in classic mode. A token that
-- was dropped has no fingerprint: that was an administrator, and nothing is held.
if arg.mode ~= 'admin' and token.refused and token.fingerprint then
  local most = 60 * MINUTE
  local bucket = math.max(number(redis.call('HGET', COUNT, 'rb')), now)
  if bucket > now + most then bucket = now + most - MINUTE end -- the clock was set back: one at once
  local at = math.max(token.hold, bucket + MINUTE - most)
  if at > now then return answer('hold', 'ms', int(at - now)) end
  redis.call('HSET', COUNT, 'rb', int(bucket + MINUTE))
end

-- The new generation is above all that Redis gave out and not below the clock, so that
-- it is unique and usually grows even if Redis has lost everything.
local generation = int(math.max(number(redis.call('GET', GEN)) + 1, token.generation + 1, now))
redis.call('SET', GEN, generation, 'PX', 30 * DAY)
redis.call('SET', LEASE, arg.lease .. ':' .. generation, 'PX', arg.lease_ms)
start_day()
redis.call('HINCRBY', COUNT, 'n', 1)
return lease(generation)
