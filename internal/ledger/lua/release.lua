-- Cuts the life of a cancelled record whose task is gone.
-- KEYS: the record.
local record, arg = KEYS[1], named()
if redis.call('HGET', record, F.state) == CANCELLED and redis.call('PTTL', record) > tonumber(arg.keep) then
  return redis.call('PEXPIRE', record, arg.keep)
end
return 0
