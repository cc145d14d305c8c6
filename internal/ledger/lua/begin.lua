-- Asks of messages whether they may be sent now, and marks them as being sent.
-- KEYS: the suppressions, when they began, the record of each message, and the
-- openids of each user that is named; at last those of tell.
-- ARGV: now, the life of a record that has ended, of one that has not; then 6 for
-- each message: number of its delivery, class, hash, openid ('' for a user's
-- message), template, and the place in KEYS of its user's openids (0: none).
-- Returns for each message lines of text: decision, state before, attempts; and
-- unless all of them are empty: a time, the openid, the reason of a suppression.
local now, keep, life = ARGV[1], ARGV[2], ARGV[3]
local SHARED, STRIDE = 3, 6
local aging = string.format('%.0f', now - life / 2) -- records of before this are prolonged

-- The reason of a suppression that is in force, with '@' before that of an admin's,
-- or nil.
local function in_force(entry)
  local till, reason = string.match(entry or '', '^(%d+) ?(.*)$')
  if till and (till == '0' or less(now, till)) then
    return reason
  end
end

local function suppressed(openid, template)
  local found = redis.call('HMGET', KEYS[1], openid, openid .. '|' .. template)
  return in_force(found[1]) or in_force(found[2])
end

-- When the suppression began that is in force, or false.
local function began(openid, template)
  local all, one = openid, openid .. '|' .. template
  local member = in_force(redis.call('HGET', KEYS[1], all)) and all or one
  return redis.call('HGET', KEYS[2], member)
end

-- Reads the suppressions of all messages to an openid at once.
local function read_suppressions(n)
  local reasons, members, asking = {}, {}, {}
  for i = 1, n do
    local at = SHARED + STRIDE * (i - 1)
    local to = ARGV[at + 4]
    if to ~= '' then
      members[#members + 1] = to
      members[#members + 1] = to .. '|' .. ARGV[at + 5]
      asking[#asking + 1] = i
    end
  end
  if #members > 0 then
    local found = redis.call('HMGET', KEYS[1], unpack(members))
    for j, i in ipairs(asking) do
      if found[2 * j - 1] or found[2 * j] then
        reasons[i] = in_force(found[2 * j - 1]) or in_force(found[2 * j])
      end
    end
  end
  return reasons
end

-- The openids of a user, the latest bound first.
local function openids_of(key)
  local flat, bound, openids = redis.call('HGETALL', key), {}, {}
  for i = 1, #flat, 2 do
    openids[#openids + 1] = flat[i]
    bound[flat[i]] = tonumber(string.match(flat[i + 1], '^%d+') or 0)
  end
  table.sort(openids, function(a, b)
    return bound[a] > bound[b] or (bound[a] == bound[b] and a < b)
  end)
  return openids
end

-- The openid that a user's message goes to, and why it may not be written to. An
-- earlier attempt that may have arrived decides: WeChat knows a replay by the
-- openid, too.
local function resolve(record, open, template, user_key)
  local openids = open and {redis.call('HGET', record, F.to) or nil} or {}
  if #openids == 0 then
    openids = openids_of(user_key)
  end
  local why
  for _, openid in ipairs(openids) do
    local reason = suppressed(openid, template)
    if not reason then
      return openid
    end
    why = why or reason
  end
  return openids[1], why
end

local function answer(decision, state, attempts, time, to, reason)
  local text = decision .. '\n' .. state .. '\n' .. (attempts or '0')
  if time or to or reason then
    return text .. '\n' .. (time or '') .. '\n' .. (to or '') .. '\n' .. (reason or '')
  end
  return text
end

local n = (#ARGV - SHARED) / STRIDE
local reasons = read_suppressions(n)

local answers = each(n, function(i)
  local at, record = SHARED + STRIDE * (i - 1), KEYS[2 + i]
  local number, class, hash, template = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 5]
  local user = ARGV[at + 6] ~= '0' and KEYS[tonumber(ARGV[at + 6])]
  local state, its_class, its_hash, attempts, open, last, queued =
    get(record, F.state, F.class, F.hash, F.attempts, F.open, F.delivery, F.queued)
  if not state then
    return 'missing'
  elseif (its_class and its_class ~= class) or (its_hash and its_hash ~= hash) then
    return answer('foreign', state)
  elseif state == ACCEPTED or ENDS[state] then
    if ENDS[state] and state ~= DEAD and redis.call('PTTL', record) > tonumber(keep) then
      redis.call('PEXPIRE', record, keep) -- it was kept for the task that is dropped now: see Cancel
    end
    return answer('ended', state, attempts)
  end

  if number == last and state == SENDING then -- this very call, repeated
    if not redis.call('HGET', record, F.open_earlier) then
      open = false -- its own mark
    end
    return answer('send', state, attempts, open, user and redis.call('HGET', record, F.to))
  elseif last and not less(last, number) then
    return answer('superseded', state, attempts)
  elseif attempts and redis.call('HGET', record, F.erased) then -- the worker that was sending it did not come back
    state = open and UNKNOWN or CANCELLED
    explain(record, 'erased')
    finish(record, state, now, keep)
    return answer('ended', state, attempts, false, false, 'erased')
  elseif state == RETRYING then
    local due = string.match(redis.call('HGET', record, F.resend) or '', '^%d+')
    if due and less(now, due) then -- sooner, WeChat would take it for a repetition
      return answer('not-yet', state, attempts, due)
    elseif due then
      redis.call('HDEL', record, F.resend)
    end
  end
  if not queued or less(queued, aging) then
    prolong(record, life)
  end

  local to, why = false, reasons[i]
  if user then
    to, why = resolve(record, open, template, user)
    if to then
      redis.call('HSET', record, F.to, to)
    end
  end
  if user and not to then
    redis.call('HEXISTS', KEYS[1], '') -- an error where names are sealed in another way: see package names
  end
  if why or (user and not to) then -- "rejected" would be untrue where an earlier attempt may have arrived
    explain(record, why and 'suppressed' or 'no-user')
    if why then
      redis.call('HSET', record, F.detail, string.sub(why, 1, 60))
      if #why > 60 then
        redis.call('HSET', record, F.detail_more, string.sub(why, 61))
      end
      local since = began(to or ARGV[at + 4], template)
      if since then
        redis.call('HSET', record, F.suppressed_since, since)
      end
      why = string.gsub(why, '^@', '')
    end
    finish(record, open and UNKNOWN or REJECTED, now, keep)
    return answer(why and 'suppressed' or 'no-user', state, attempts, open, to, why)
  elseif open then
    redis.call('HSET', record, F.state, SENDING, F.delivery, number, F.open_earlier, '1', F.attempts, attempts or '0')
  else
    redis.call('HSET', record, F.state, SENDING, F.delivery, number, F.open, now)
  end
  return answer('send', state, attempts, open, to)
end)
tell(now)
return answers
