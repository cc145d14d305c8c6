-- create and waits: the half of an enqueue that writes records.

-- Whether the message of an existing record still needs a task.
local function waits(old)
  return old[1] == 'q' or old[1] == 'w' or old[1] == 'r' or old[1] == 's'
end

-- Creates the record unless one exists. ARGV[at..at+9]: its life in ms, then state,
-- class, openid, user, template, hash, queued at, not-before, not-after ('': none).
-- Returns nothing when it was created; else the state, class, hash and not-before of
-- the record that exists; one that has not ended lives at least as long as its task
-- may wait.
local function create(record, at)
  local old = redis.call('HMGET', record, 's', 'c', 'h', 'b')
  if old[1] then
    if waits(old) and redis.call('PTTL', record) < tonumber(ARGV[at]) then
      redis.call('PEXPIRE', record, ARGV[at])
    end
    return old
  end
  local fields = {'s', 'c', 't', 'u', 'p', 'h', 'q', 'b', 'n'}
  local new = {}
  for i, name in ipairs(fields) do
    local value = ARGV[at + i]
    if value ~= '' then
      new[#new + 1] = name
      new[#new + 1] = value
    end
  end
  redis.call('HSET', record, unpack(new))
  redis.call('PEXPIRE', record, ARGV[at])
end
