-- Records a failed fetch: no process asks WeChat again before the step is over. The
-- failure counts even if a newer lease was given out. Otherwise processes whose
-- every fetch outlasts its lease would ask WeChat without a pause.
-- lease, generation, failure: JSON, first_ms: the first step, doubled for each further
-- failure in a row up to most_ms
-- secret: fingerprint of the AppSecret that WeChat refused, or empty
-- unlisted: 1 when WeChat refused the caller's address. Then the step holds for the
-- processes alone that were refused so: others may be listed, and fetch at once.
-- Reply: ms, the length of the step; 0 if a newer token has been stored.
local n = (arg.unlisted == '1' and 'n') or ''
local b = redis.call('HMGET', BACKOFF, n .. 'g', n .. 'u', n .. 's')
if b[1] == arg.generation then return {'ms', int(math.max(number(b[2]) - now, 0))} end -- go-redis repeated this call
release()
if number(redis.call('HGET', TOKEN, 'g')) > tonumber(arg.generation) then return {'ms', 0} end
local step = number(b[3]) + 1
local wait = math.min(tonumber(arg.first_ms) * 2 ^ (step - 1), tonumber(arg.most_ms))
redis.call('HSET', BACKOFF, n .. 'u', int(now + wait), n .. 's', int(step), n .. 'g', arg.generation,
  n .. 'j', arg.failure, n .. 'a', int(now),
  n .. 'c', arg.secret)
redis.call('PEXPIRE', BACKOFF, int(wait + 60 * MINUTE))
notify('failed')
return {'ms', int(wait)}
