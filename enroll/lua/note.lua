-- Notes what WeChat or a file says of followers, of those that are bound. What an event
-- said within the last hour is newer, and stays.
-- KEYS: for each follower its hash, and the latest that an event said.
-- ARGV: for each '1' when it follows, '0' when not, '' not known; its unionid or ''; the
-- number of the synchronization or ''.
-- Returns for each its state before: '1', '0', '?' not known, '-' not bound; then 'e' if
-- an event said something.
local out = {}
for i = 1, #KEYS / 2 do
  local key, event = KEYS[2 * i - 1], redis.call('EXISTS', KEYS[2 * i]) == 1
  local follows, unionid, number = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  local said = '-'
  if redis.call('EXISTS', key) == 1 then
    said = redis.call('HGET', key, 'f') or '?'
    if follows ~= '' and not event then
      redis.call('HSET', key, 'f', follows)
    end
    if unionid ~= '' then
      redis.call('HSET', key, 'n', unionid)
    end
    if number ~= '' then
      redis.call('HSET', key, 'y', number)
    end
  end
  out[i] = said .. (event and 'e' or '')
end
return out
