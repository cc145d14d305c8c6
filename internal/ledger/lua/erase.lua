-- Removes what names the recipient of a message, in two steps: 'end' ends it, then
-- 'drop' removes the names. Between them its task is taken off the queue.
-- KEYS: the record, the index of dead letters, the payload, and the payload as
-- earlier versions kept it; those of tell.
-- Returns the record's class and state, and '1' where this step ended it, or nothing.
local record, arg = KEYS[1], named()
local state, class, open = get(record, F.state, F.class, F.open)
if not state then
  return {}
end
if arg.step == 'end' then
  local ended = '0'
  redis.call('HSET', record, F.erased, '1') -- nothing personal is written from now on
  redis.call('HINCRBY', record, F.attempts, '0')
  if state == QUEUED or state == SCHEDULED or state == RETRYING then
    state = open and UNKNOWN or CANCELLED
    finish(record, state, arg.now, math.max(redis.call('PTTL', record), arg.keep)) -- see cancel.lua
    forget_reason(record)
    explain(record, 'erased')
    ended = '1'
    tell(arg.now)
  end
  return {class or '', state, ended}
end
-- The hash would confirm a guess of user and text. The detail is an operator's words about
-- them, or WeChat's, which may quote a value of the message.
redis.call('HDEL', record, F.to, F.user, F.hash, F.detail, F.detail_more)
redis.call('ZREM', KEYS[2], arg.id)
redis.call('DEL', KEYS[3], KEYS[4])
if state == CANCELLED and redis.call('PTTL', record) > tonumber(arg.keep) then
  redis.call('PEXPIRE', record, arg.keep)
end
return {class or '', state, '0'}
