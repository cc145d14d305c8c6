-- Notes whether a bound openid follows. Others are not kept.
-- KEYS[1] the follower. ARGV[1] '1' or '0'.
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'f', ARGV[1])
  return 1
end
return 0
