-- Takes the begin of an attempt back: WeChat was not called.
-- KEYS: the record. Returns 1 when something was written.
local record, arg = KEYS[1], named()
local state, last, open_earlier, attempts, resends =
  get(record, F.state, F.delivery, F.open_earlier, F.attempts, F.resends)
local mine = tonumber(arg.delivery)
last = tonumber(last) or 0
if not state or state == ACCEPTED or ENDS[state] or mine < last then
  return 0
elseif mine == last and state ~= SENDING then
  return 0 -- this very call, repeated
elseif mine == last and not open_earlier then
  redis.call('HDEL', record, F.open) -- its own mark; one of an earlier attempt stays
end
redis.call('HSET', record, F.delivery, arg.delivery) -- a Begin that comes later is superseded
if state == SENDING then
  redis.call('HSET', record, F.state, (resends or tonumber(attempts or 0) > 0) and RETRYING or QUEUED)
end
return 1
