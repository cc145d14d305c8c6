-- Deletes the token and the back-off. The generation stays, marked as refused, so
-- that every process stops using the token it remembers.
if redis.call('EXISTS', TOKEN) == 1 then
  redis.call('HDEL', TOKEN, 'v', 'p')
  redis.call('HSET', TOKEN, 'r', '1')
  redis.call('HSET', COUNT, 'rs', '0')
  redis.call('PEXPIRE', COUNT, 2 * DAY)
end
redis.call('DEL', BACKOFF)
notify('dropped')
return {}
