-- Finds the message of a msgid, or keeps the receipt until it is known.
-- KEYS[1] the msgid's key. ARGV[1] the receipt, ARGV[2] how long to keep it in ms.
-- Returns the message's id, or an empty text.
local found = redis.call('GET', KEYS[1])
if not found then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return ''
end
return string.match(found, '^[=~](.*)$') or '' -- parked before: the first one counts
