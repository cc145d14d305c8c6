-- Lets one request exchange the code that came back with a state.
-- KEYS[1] the state's. ARGV[1] the code's fingerprint, ARGV[2] how long the
-- exchange may take, in ms. Returns an empty text for the first request, else
-- the fingerprint, and the outcome behind a space once it is known.
local said = redis.call('GET', KEYS[1])
if said then
  return said
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ''
