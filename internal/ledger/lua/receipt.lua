-- Ends a message by its receipt, or sets it up to be sent again.
-- KEYS: the record, the msgid, whose receipts are awaited, the latest
-- messages to the openid, the payload, and those of tell.
-- Returns the record, the payload if another attempt is due, and '1' when this call
-- has ended the message.
local record, msgid_key, awaiting, latest, payload_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local arg = named()
local state, sent = get(record, F.state, F.sent)

local function answer(payload, ended)
  return {redis.call('HGETALL', record), payload or '', ended or '0'}
end

if string.sub(redis.call('GET', msgid_key) or '', 1, 1) == '~' then
  local by = string.match(redis.call('HGET', record, F.resend) or '', '^%d+ (%d+)$')
  if state == RETRYING and by == arg.msgid then -- the same receipt again, and the attempt has not begun
    return answer(redis.call('GET', payload_key))
  end
  return answer()
elseif state ~= ACCEPTED then
  return answer()
end
redis.call('ZREM', awaiting, arg.id)
redis.call('ZREM', latest, '=' .. arg.id)
local payload = arg.wait0 and redis.call('GET', payload_key)
if payload then
  local resends, not_after, last = get(record, F.resends, F.not_after, F.delivery)
  resends = tonumber(resends or 0)
  local wait = arg['wait' .. resends]
  local due = wait and string.format('%.0f', arg.now + wait)
  if due and (not not_after or less(due, not_after)) then
    keep_told(record)
    if sent then
      keep_attempt(record, sent .. ' 0 0 a', '', '', arg.words)
    end
    redis.call('HDEL', record, F.msgid, F.sent)
    explain(record, arg.words)
    redis.call('HSET', record, F.state, RETRYING, F.attempts, '0',
      F.resends, resends + 1, F.resend, due .. ' ' .. arg.msgid, F.earlier_life, last or '0')
    redis.call('SET', msgid_key, '~' .. arg.id, 'PX', arg.msgid_life)
    prolong(record, arg.life)
    note_outcome(record, RETRYING)
    count(RETRYING)
    tell(arg.now)
    return answer(payload)
  end
end
local at = arg.at
if sent and less(at, sent) then
  at = sent -- nothing ends before it was sent; WeChat's times are whole seconds
end
apply_receipt(record, arg.state, arg.words, at, arg.keep)
tell(arg.now)
redis.call('DEL', payload_key)
redis.call('PEXPIRE', msgid_key, arg.repeat_life)
return answer('', '1')
