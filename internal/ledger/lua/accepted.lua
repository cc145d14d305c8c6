-- Records that WeChat accepted messages: a fact that overrules every state that
-- did not know of it.
-- KEYS: whose receipts are awaited, the index of dead letters, the codes of
-- templates; then 4 for each message: the record, the msgid, the latest messages to
-- its openid, its payload; at last those of tell.
-- ARGV: now; the life of a record that has ended, of an accepted one, of a msgid,
-- of the latest messages, of the codes; the time of acceptances whose receipt is
-- overdue; then 7 for each message: number of its delivery, id, msgid, '1' for a
-- possible duplicate, openid, class, payload.
-- Returns for each message false, the usual answer; 'ended', its state and its receipt,
-- when that came first; or 'again' and when its next attempt is due.
local now, keep, accepted_life, msgid_life = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local latest_life, codes_life, overdue = ARGV[5], ARGV[6], ARGV[7]
local SHARED, STRIDE, KEY_STRIDE = 7, 7, 4
local awaited, codes = {}, {}

-- The code of a template, which a record keeps for days instead of 43 bytes.
local function code_of(template)
  if not codes[template] then
    codes[template] = redis.call('HGET', KEYS[3], template) or tostring(redis.call('HLEN', KEYS[3]) + 1)
    redis.call('HSET', KEYS[3], template, codes[template])
    redis.call('PEXPIRE', KEYS[3], codes_life)
  end
  return codes[template]
end

local function mark_accepted(record, state, number, msgid, template, attempts, payload)
  local delivery = payload == '' and F.delivery or F.ended -- kept where a receipt may ask for another attempt
  if state == SENDING and not attempts then
    redis.call('HDEL', record, F.open, F.template, delivery)
  else
    if ENDS[state] then
      keep_told(record)
    end
    redis.call('HDEL', record, F.open, F.template, delivery, F.open_earlier, F.ended, F.resend)
    forget_reason(record)
  end
  if template then
    redis.call('HSET', record, F.state, ACCEPTED, F.sent, now, F.msgid, msgid, F.template_code, code_of(template))
  else
    redis.call('HSET', record, F.state, ACCEPTED, F.sent, now, F.msgid, msgid)
  end
  redis.call('PEXPIRE', record, accepted_life)
  if attempts then -- a single attempt is not stored
    redis.call('HINCRBY', record, F.attempts, '1')
  end
  if payload ~= '' and less(redis.call('HGET', record, F.delivery) or '0', number) then
    redis.call('HSET', record, F.delivery, number)
  end
end

local answers = each((#ARGV - SHARED) / STRIDE, function(i)
  local at, k = SHARED + STRIDE * (i - 1), 3 + KEY_STRIDE * (i - 1)
  local number, id, msgid, duplicate = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local to, class, payload = ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
  local record, msgid_key, latest, payload_key = KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4]
  local state, template, open, attempts = get(record, F.state, F.template, F.open, F.attempts)
  local erased, earlier_life = false, false
  if attempts then
    erased, earlier_life = get(record, F.erased, F.earlier_life)
  end
  if earlier_life and not less(earlier_life, number) then
    if state == ACCEPTED or ENDS[state] then
      return false
    end
    return 'again ' .. (string.match(redis.call('HGET', record, F.resend) or '', '^%d+') or '0')
  end
  local before, answered = false, false -- an acceptance is recorded, and its receipt
  if state == ACCEPTED or ENDS[state] then
    local known, receipt = get(record, F.msgid, F.receipt)
    answered = receipt or state == DELIVERED
    before = answered or state == ACCEPTED
    if before and (known or '0') == msgid then
      return false -- this very call, repeated
    end
  end
  if erased then
    to, payload = '', ''
  end
  if not state then
    restore(record, class, to)
  end
  if duplicate == '1' or before then
    redis.call('HSET', record, F.duplicate, '1')
  end
  local member = '=' .. id
  local ended = false
  local early = msgid ~= '0' and redis.call('SET', msgid_key, member, 'PX', msgid_life, 'GET')
  if not before then -- else the first msgid and time stay
    mark_accepted(record, state, number, msgid, template, attempts, payload)
    local first = state == SENDING and not attempts
    events[#events + 1] = ACCEPTED .. (first and 1 or told(record)) .. ':' .. id
    count(ACCEPTED)
    if state == DEAD then
      redis.call('ZREM', KEYS[2], id)
    end
    if state == DEAD or earlier_life then -- not to be sent again by what Revive left
      redis.call('DEL', payload_key)
    end
  end
  if early and not answered then
    local receipt_state, receipt_at, words = string.match(early, '^!(%a)(%d+) (.*)$')
    local resend = payload ~= '' and (words == 'system-failed' or words == 'freq-limit')
    if receipt_state and not resend then -- a resend is set up by Match
      -- Nothing ends before it was sent.
      apply_receipt(record, receipt_state, words, less(receipt_at, now) and now or receipt_at, keep)
      answered, ended = true, 'ended ' .. receipt_state .. ' ' .. words
    end
  end
  if answered then
    awaited[id] = nil
    redis.call('ZREM', KEYS[1], id)
    redis.call('ZREM', latest, member)
    redis.call('DEL', payload_key)
    return ended
  end
  if payload ~= '' then
    redis.call('SET', payload_key, payload, 'PX', msgid_life)
  end
  if to ~= '' then
    redis.call('ZADD', latest, 'NX', open or now, member)
    redis.call('ZREMRANGEBYRANK', latest, '0', '-65') -- the latest 64 stay
    redis.call('PEXPIRE', latest, latest_life)
  end
  awaited[id] = true
  return false
end)

local members = {}
for id in pairs(awaited) do
  members[#members + 1] = now
  members[#members + 1] = id
end
if #members > 0 then
  redis.call('ZADD', KEYS[1], 'NX', unpack(members))
  redis.call('PEXPIRE', KEYS[1], accepted_life)
  local missing = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', overdue, 'LIMIT', '0', '100')
  if #missing > 0 then -- so that it stays bounded where Sweep is not called
    redis.call('ZREM', KEYS[1], unpack(missing))
  end
end
tell(now)
return answers
