-- Records an attempt that was not accepted: the one that is being made, or that of
-- a delivery which never began.
-- KEYS: the record, the index of dead letters, the payload, the latest messages to
-- the openid, and those of tell. Returns 1 when something was written, 0 when nothing was,
-- and 2 when that is because the message has gone on since.
local record, dead, payload_key, latest = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local arg = named()
local before, class, last, open, open_earlier, erased =
  get(record, F.state, F.class, F.delivery, F.open, F.open_earlier, F.erased)
local mine = tonumber(arg.delivery)
last = tonumber(last) or 0
local begun = mine == last and before == SENDING
if before == ACCEPTED or ENDS[before] then
  return 0
elseif class and arg.class ~= '' and class ~= arg.class then
  return 0 -- another message's record
elseif mine < last or (not begun and mine == last and ENDS[arg.state]) then
  return 2 -- another delivery has written, or the end that this one wrote was revoked
elseif not begun and mine == last then
  return 0 -- this very call, repeated
end
local state, reason, to, payload, keep = arg.state, arg.reason, arg.to, arg.payload, arg.keep
if not before then
  restore(record, arg.class, to)
end
redis.call('HSET', record, F.delivery, arg.delivery)
redis.call('HINCRBY', record, F.attempts, arg.attempt == '1' and begun and '1' or '0')
if begun and (arg.no_call == '0' or arg.attempt == '1') then
  keep_attempt(record, arg.now .. ' ' .. arg.latency .. ' ' .. arg.errcode, arg.worker, arg.rid, arg.kept_reason)
end
if begun and arg.ambiguous == '0' and not open_earlier then -- only the attempt that set the mark takes it back
  redis.call('HDEL', record, F.open)
  open = false
end
if arg.duplicate == '1' then
  redis.call('HSET', record, F.duplicate, '1')
end
if erased then
  to, payload = '', ''
  if not ENDS[state] then -- its recipient is gone
    state, reason = open and UNKNOWN or CANCELLED, 'erased'
  end
end
local function put(field, value, none)
  if value == none then
    redis.call('HDEL', record, field)
  else
    redis.call('HSET', record, field, value)
  end
end
if arg.no_call == '0' or arg.errcode ~= '0' then
  put(F.errcode, arg.errcode, '0')
  put(F.rid, arg.rid, '')
end
explain(record, reason)
if reason == arg.reason and not erased then
  put(F.detail, arg.detail, '')
  put(F.detail_more, arg.detail_more, '')
end
if to ~= '' and open then -- a receipt may still tell what became of it
  redis.call('ZADD', latest, open, '=' .. arg.id)
  redis.call('ZREMRANGEBYRANK', latest, '0', '-65') -- the latest 64 stay
  redis.call('PEXPIRE', latest, arg.latest_life)
end
if not ENDS[state] then
  redis.call('HSET', record, F.state, state)
  prolong(record, arg.life)
  if state == RETRYING then
    count(RETRYING)
  end
  if state == RETRYING or arg.errcode ~= '0' then
    note_outcome(record, state)
    tell(arg.now)
  end
  return 1
end
if state == DEAD and not erased then
  keep = arg.keep_dead
  redis.call('ZREMRANGEBYSCORE', dead, '-inf', arg.oldest_dead)
  redis.call('ZADD', dead, arg.now, arg.id)
  redis.call('PEXPIRE', dead, keep)
  if payload ~= '' then
    redis.call('SET', payload_key, payload, 'PX', keep)
  end
else
  redis.call('DEL', payload_key)
end
finish(record, state, arg.now, keep)
tell(arg.now)
return 1
