-- Ends a message by a receipt that does not name it.
-- KEYS: the latest messages to the openid, whose receipts are awaited, the msgid;
-- then record and payload of each message that it may be of, the oldest first; at last
-- those of tell.
-- ARGV: how many of them there are, their ids, then names and values.
-- Returns a word, the message's id, and its record.
local latest, awaiting, msgid_key = KEYS[1], KEYS[2], KEYS[3]
local n = tonumber(ARGV[1])
local arg = {}
for i = n + 2, #ARGV, 2 do
  arg[ARGV[i]] = ARGV[i + 1]
end

if arg.msgid == '0' then
  for _, member in ipairs(redis.call('ZRANGE', latest, '0', '-1')) do
    if string.sub(member, 1, #arg.mark) == arg.mark then
      return {'known', string.sub(member, #arg.mark + 1)}
    end
  end
else
  local id = string.match(redis.call('GET', msgid_key) or '', '^[=~](.*)$')
  if id then
    return {'known', id}
  end
end

local sure, open, starts, states = {}, {}, {}, {}
for i = 1, n do
  local state, msgid, since, sent, erased = get(KEYS[2 + 2 * i], F.state, F.msgid, F.open, F.sent, F.erased)
  local from, unnamed = state == ACCEPTED and sent or since, not msgid or msgid == '0'
  states[i], starts[i] = state, from
  if from and not erased and tonumber(arg.at) <= tonumber(from) + tonumber(arg.window) then
    if state == ACCEPTED and (arg.msgid == '0' or unnamed) then
      sure[#sure + 1] = i
    elseif since and unnamed and arg.open_too == '1' and (state == UNKNOWN or not ENDS[state]) then
      open[#open + 1] = i
    end
  end
end
local found
if arg.msgid == '0' and #sure > 0 then
  found = sure[1]
elseif #sure + #open == 1 then
  found = sure[1] or open[1]
else
  return {'none'}
end

local record, payload_key, id = KEYS[2 + 2 * found], KEYS[3 + 2 * found], ARGV[1 + found]
local at = arg.at
if tonumber(at) < tonumber(starts[found]) then
  at = starts[found] -- nothing ends before it was sent
end
if states[found] ~= ACCEPTED then
  redis.call('HDEL', record, F.open, F.open_earlier)
  forget_reason(record)
  redis.call('HSET', record, F.sent, at)
end
apply_receipt(record, arg.state, arg.words, at, arg.keep)
tell(arg.now)
redis.call('DEL', payload_key)
redis.call('ZREM', awaiting, id)
redis.call('ZREM', latest, '=' .. id)
if arg.msgid == '0' then
  redis.call('ZADD', latest, arg.now, arg.mark .. id)
  redis.call('PEXPIRE', latest, arg.latest_life)
else
  redis.call('HSET', record, F.msgid, arg.msgid)
  redis.call('SET', msgid_key, '=' .. id, 'PX', arg.repeat_life)
end
return {'matched', id, redis.call('HGETALL', record)}
