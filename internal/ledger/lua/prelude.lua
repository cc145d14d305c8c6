-- Shared by all scripts of the ledger. Times are Unix milliseconds.

-- The fields of a record and the letters that they are stored under: millions of
-- records wait in Redis. A letter is never used for anything else.
local F = {
  state = 's', class = 'c', to = 't', user = 'u', template = 'p', template_code = 'l', hash = 'h',
  queued = 'q', not_before = 'b', not_after = 'n', errcode = 'e', reason = 'r',
  detail = 'y', detail_more = 'Y', -- of the reason
  key = 'K', -- ID of the API key that enqueued it
  rid = 'R', -- of the call that was answered with the errcode
  suppressed_since = 'S', -- the reason is a suppression, which began then
  attempts = 'a', -- present, as 0 when none counts, once anything but a first attempt has happened
  delivery = 'i', -- number of the delivery that wrote last
  earlier_life = 'j', -- deliveries up to this one belong to an earlier life
  open = 'o', -- begin of the first attempt whose outcome is not known
  open_earlier = 'k', -- that was an earlier attempt than the one that is being made
  msgid = 'm', sent = 'x', duplicate = 'd', receipt = 'f', ended = 'z', erased = 'v',
  told = 'E', -- how many events there were before the present life
  resends = 'g', resend = 'w', -- when the next attempt is due, and the msgid whose receipt asked for it
  revived = 'V', -- how often an operator had it sent again, and when last
  -- Attempts that were not the last word, see keep_attempt: how many there were, and of each
  -- of the last 8, by its number modulo 8.
  kept = 'N', kept_times = 'A', kept_worker = 'W', kept_rid = 'B', kept_reason = 'C',
}
local QUEUED, SCHEDULED, SENDING, RETRYING, ACCEPTED = 'q', 'w', 's', 'r', 'a'
local DELIVERED, REJECTED, EXPIRED, CANCELLED, UNKNOWN, DEAD = 'd', 'j', 'e', 'c', 'u', 'x'
local ENDS = {d = true, j = true, e = true, c = true, u = true, x = true}

-- ARGV as names and values.
local function named()
  local args = {}
  for i = 1, #ARGV, 2 do
    args[ARGV[i]] = ARGV[i + 1]
  end
  return args
end

-- The values of a record's fields; one that is not there is false.
local function get(record, ...)
  return unpack(redis.call('HMGET', record, ...))
end

-- Whether the number a is smaller than b: texts of digits, without the price of
-- tonumber.
local function less(a, b)
  return #a < #b or (#a == #b and a < b)
end

-- Calls run(i) for n messages and returns the answers. An error becomes the
-- answer of its message and does not stop the others.
local function each(n, run)
  local answers = {}
  for i = 1, n do
    local ok, answer = pcall(run, i)
    if not ok then
      answer = 'error ' .. (type(answer) == 'table' and answer.err or tostring(answer))
    end
    answers[i] = answer
  end
  return answers
end

local function prolong(key, life)
  if redis.call('PTTL', key) < tonumber(life) then
    redis.call('PEXPIRE', key, life)
  end
end

-- Starts a record that Redis lost while its message was sent.
local function restore(record, class, to)
  for field, value in pairs({[F.class] = class, [F.to] = to}) do
    if value ~= '' then
      redis.call('HSET', record, field, value)
    end
  end
end

-- Says why a record is in its state, in place of what was said before.
local function explain(record, reason)
  redis.call('HDEL', record, F.reason, F.detail, F.detail_more, F.suppressed_since)
  if reason ~= '' then
    redis.call('HSET', record, F.reason, reason)
  end
end

-- Removes errcode and reason with all that belongs to them.
local function forget_reason(record)
  redis.call('HDEL', record, F.errcode, F.rid, F.reason, F.detail, F.detail_more, F.suppressed_since)
end

-- Keeps an attempt for the story of the message. times: when its outcome was known, the
-- milliseconds of its call, the errcode, and 'a' where WeChat had accepted it. The
-- acceptance in force is not kept: it follows from the record.
local function keep_attempt(record, times, worker, rid, reason)
  local slot = (redis.call('HINCRBY', record, F.kept, '1') - 1) % 8
  redis.call('HDEL', record, F.kept_worker .. slot, F.kept_rid .. slot, F.kept_reason .. slot)
  redis.call('HSET', record, F.kept_times .. slot, times)
  for field, value in pairs({[F.kept_worker] = worker, [F.kept_rid] = rid, [F.kept_reason] = reason}) do
    if value ~= '' then
      redis.call('HSET', record, field .. slot, value)
    end
  end
end

-- What this call tells, see tell: events, outcomes that are no success, and counts for the
-- history.
local events, outcomes, counts, causes = {}, {}, {}, {}

local function count(state)
  counts[state] = (counts[state] or 0) + 1
end

-- Reasons that are counted as causes. Others are told by the errcode.
local CAUSES = ' user-block system-failed freq-limit suppressed no-user '

-- Counts why a message did not arrive: a message that was cancelled needs no cause.
local function count_cause(state, errcode, reason)
  local cause = state ~= CANCELLED and (reason and string.find(CAUSES, ' ' .. reason .. ' ', 1, true) and reason or errcode)
  if cause then
    causes[state .. cause] = (causes[state .. cause] or 0) + 1
  end
end

local function id_of(record)
  return string.match(record, '}:m:(.*)$')
end

-- How many events of a message there were: those of its present life follow from the
-- record, those of before are counted in it.
local function told(record)
  local before, sent, ended = get(record, F.told, F.sent, F.ended)
  return (tonumber(before) or 0) + (sent and 1 or 0) + (ended and 1 or 0)
end

-- Keeps the number of events over a step that removes times from the record.
local function keep_told(record)
  redis.call('HSET', record, F.told, told(record))
end

-- Notes an outcome that is no success, so that Find need not read every record.
local function note_outcome(record, state)
  local queued, errcode, reason = get(record, F.queued, F.errcode, F.reason)
  if ENDS[state] then
    count_cause(state, errcode, reason)
  end
  outcomes[#outcomes + 1] = state .. (queued or '0') .. ' ' .. (errcode or '0') .. ' ' .. id_of(record) .. '\n'
end

-- Writes down what this call tells, in one entry of the stream, one piece of the segment
-- and the history. The last six of KEYS are the stream of events, the segment of outcomes,
-- the list of segments, and the history (3): those of now.
local function tell(now)
  local n = #KEYS - 3
  if next(counts) then
    add_history(now, counts, causes)
  end
  if #events > 0 then
    redis.call('XADD', KEYS[n - 2], 'MAXLEN', '~', '1000000', '*', 'm', table.concat(events, ' '))
    redis.call('PEXPIRE', KEYS[n - 2], '604800000') -- 7 days
  end
  if #outcomes > 0 then
    if redis.call('RPUSH', KEYS[n - 1], table.concat(outcomes)) == 1 then
      local name, hour = string.match(KEYS[n - 1], '}:(ixo:(%d+))$')
      redis.call('ZADD', KEYS[n], hour, name)
      for i = n - 1, n do
        prolong(KEYS[i], '2599200000') -- 30 days, a dead letter's life, and two hours
      end
    end
  end
end

-- Ends a message. The number of the last delivery is needed no more, but for
-- Revive: the state alone keeps the message from being sent.
local function finish(record, state, at, keep)
  redis.call('HDEL', record, F.resend, state == DEAD and F.resend or F.delivery)
  redis.call('HSET', record, F.state, state, F.ended, at)
  redis.call('PEXPIRE', record, keep)
  events[#events + 1] = state .. told(record) .. ':' .. id_of(record)
  count(state)
  if state ~= DELIVERED then
    note_outcome(record, state)
  end
end

-- Ends an accepted message by its receipt, WeChat's last word on it. The words of
-- a success are not stored: the state says the same.
local function apply_receipt(record, state, words, at, keep)
  if state ~= DELIVERED then
    explain(record, words)
    redis.call('HSET', record, F.receipt, words)
  end
  finish(record, state, at, keep)
end
