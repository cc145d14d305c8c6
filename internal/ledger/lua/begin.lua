-- Asks whether a message may be sent now and marks it as being sent.
-- KEYS[3] the suppressions, KEYS[4] the index of the dead, KEYS[5] the dead
-- letter, KEYS[6] the user's openids (only for a message to a user).
local now, class, hash, to, template = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local keep, live, old, id, queued = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
-- From ARGV[11] on: the fields of the record. They come with the second call only,
-- after the first one found none: each is dear to send a million times in vain.

local v = redis.call('HMGET', KEYS[1], 's', 'c', 'h', 'a', 'o', 'z', 't', 'v', 'w')
local s, attempts, open, before, erased, due = v[1], v[4], v[5], v[7], v[8], v[9]
if not s then
  if not ARGV[11] then
    return {'missing', '', '', '', '', ''}
  end
  redis.call('HSET', KEYS[1], unpack(ARGV, 11))
  redis.call('PEXPIRE', KEYS[1], live)
  s, attempts, open = 'q', false, false
else
  if (v[2] and v[2] ~= class) or (v[3] and v[3] ~= hash) then
    return {'stray', s, '', '', '', ''}
  end
  if erased and s ~= 'a' and not ended(s) then -- its worker did not come back
    redis.call('HSET', KEYS[1], 'r', 'erased')
    s = open and 'u' or 'c'
    finish(s, now, keep)
  end
  -- A task that was enqueued before the death is the dead letter, which an admin
  -- runs again: it starts afresh. A later one is only its caller's repetition.
  local revived = s == 'x' and not erased and tonumber(queued) <= (tonumber(v[6]) or math.huge)
  if revived then
    redis.call('HDEL', KEYS[1], 'a', 'e', 'r', 'z', 'o', 'k')
    redis.call('ZREM', KEYS[4], id)
    redis.call('DEL', KEYS[5])
    redis.call('PEXPIRE', KEYS[1], live)
    attempts, open = false, false
  elseif s == 'a' or ended(s) then
    if s ~= 'a' and s ~= 'x' and redis.call('PTTL', KEYS[1]) > tonumber(keep) then
      redis.call('PEXPIRE', KEYS[1], keep) -- prolonged by Born, for the task that is dropped now
    end
    return {'ended', s, attempts or '', '', '', ''}
  elseif s == 'r' and due then -- sooner, WeChat would take it for a repetition
    local at = string.match(due, '^%d+')
    if tonumber(now) < tonumber(at) then
      return {'wait', s, attempts or '', '', at, ''}
    end
    redis.call('HDEL', KEYS[1], 'w')
  end
  if old == '1' then
    extend(live)
  end
end
local same = open and before -- WeChat knows a replay by the openid, too
if open == now then -- this very call, replayed after a lost answer
  open = false
end

local function refuse(decision, reason, detail)
  redis.call('HSET', KEYS[1], 'r', reason)
  if open then -- an earlier attempt may have arrived, so "rejected" could be untrue
    finish('u', now, keep)
  else
    finish('j', now, keep)
  end
  return {decision, s, attempts or '', to or '', open or '', detail}
end

-- The openids of the user, the latest bound first.
local function bound()
  local flat = redis.call('HGETALL', KEYS[6])
  local at, openids = {}, {}
  for i = 1, #flat, 2 do
    openids[#openids + 1] = flat[i]
    at[flat[i]] = tonumber(string.match(flat[i + 1], '^%d+') or 0)
  end
  table.sort(openids, function(a, b)
    return at[a] > at[b] or (at[a] == at[b] and a < b)
  end)
  return openids
end

-- Why openid may not be written to, or false.
local function held(openid)
  local found = redis.call('HMGET', KEYS[3], openid, openid .. '|' .. template)
  for i = 1, 2 do
    if found[i] then
      local till, reason = string.match(found[i], '^(%d+) ?@?(.*)$')
      if till and (till == '0' or tonumber(till) > tonumber(now)) then
        return reason
      end
    end
  end
  return false
end

local why = false
if to ~= '' then
  why = held(to)
else
  local openids = same and {same} or bound()
  if #openids == 0 then
    return refuse('nouser', 'no-user', '')
  end
  for _, openid in ipairs(openids) do
    local reason = held(openid)
    if not reason then
      to, why = openid, false
      break
    end
    why = why or reason
  end
  if why then
    to = openids[1]
  end
  redis.call('HSET', KEYS[1], 't', to)
end
if why then
  return refuse('suppressed', 'suppressed', why)
end
if open then
  redis.call('HSET', KEYS[1], 's', 's', 'k', '1') -- only the attempt that opened may close
else
  redis.call('HSET', KEYS[1], 's', 's', 'o', now)
end
return {'go', s, attempts or '', to, open or '', ''}
