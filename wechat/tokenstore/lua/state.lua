-- Returns what operators see, never the token's value. window_ms: see refuse.lua
local token = read_token()
local b = redis.call('HMGET', BACKOFF, 'u', 'j', 'nu', 'nj')
if not b[2] then b = {b[3], b[4]} end
local c = redis.call('HMGET', COUNT, 'd', 'n', 'f')
local today = number(c[1]) >= math.floor((now + CHINA) / DAY)
return {'now', int(now), 'generation', int(token.generation), 'fetched', int(token.fetched), 'due', int(token.due),
  'expires', int(token.expires), 'fingerprint', token.fingerprint or '', 'refused', (token.refused and '1') or '0',
  'retry', b[1] or '0', 'failure', b[2] or '', 'fetches', (today and c[2]) or '0', 'forced', (today and c[3]) or '0',
  'recent', recent_refusals(tonumber(arg.window_ms)), 'lease', redis.call('GET', LEASE) or ''}
