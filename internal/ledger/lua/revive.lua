-- Has a dead letter sent again, with a fresh budget of attempts.
-- KEYS: the record, the index of dead letters, the payload, and the payload as
-- earlier versions kept it.
-- Returns 'not-dead', 'no-payload', or the class and the payload. Until the next
-- attempt begins, a repeated call answers the same.
local record, dead, arg = KEYS[1], KEYS[2], named()
local state, class, last, earlier_life, times = get(record, F.state, F.class, F.delivery, F.earlier_life, F.revived)
local revived = state == QUEUED and earlier_life and earlier_life == last
if state ~= DEAD and not revived then
  return {'not-dead'}
end
local payload_key = redis.call('EXISTS', KEYS[3]) == 1 and KEYS[3] or KEYS[4]
local payload = redis.call('GET', payload_key)
if not payload then
  return {'no-payload'}
end
if not revived then
  last = last or '0'
  keep_told(record)
  redis.call('HDEL', record, F.ended, F.open, F.open_earlier)
  forget_reason(record)
  redis.call('HSET', record, F.state, QUEUED, F.attempts, '0', F.delivery, last, F.earlier_life, last,
    F.revived, string.format('%d %s', tonumber(string.match(times or '0', '^%d+')) + 1, arg.now))
  redis.call('PEXPIRE', record, arg.life)
  redis.call('ZREM', dead, arg.id)
  redis.call('PEXPIRE', payload_key, arg.payload_life)
end
return {class or '', payload}
