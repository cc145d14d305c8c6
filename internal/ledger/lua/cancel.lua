-- Ends a message of which nothing can have been seen yet. Its task may wait for
-- months, and the record alone keeps it from being sent: the record's life is cut
-- by Release, once the task is gone.
-- KEYS: the record, and those of tell. Returns '1' when it is cancelled now, and the record.
local record, arg = KEYS[1], named()
local state, open = get(record, F.state, F.open)
if (state == QUEUED or state == SCHEDULED or state == RETRYING) and not open then
  state = CANCELLED
  finish(record, state, arg.now, math.max(redis.call('PTTL', record), arg.keep))
  forget_reason(record)
end
tell(arg.now)
return {state == CANCELLED and '1' or '0', redis.call('HGETALL', record)}
