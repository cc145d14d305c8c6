-- create, waits and index: the half of an enqueue that writes records.

local entries, longest = {}, 0 -- of the records that this call created

-- Whether the message of an existing record still needs a task.
local function waits(old)
  return old[1] == 'q' or old[1] == 'w' or old[1] == 'r' or old[1] == 's'
end

-- Creates the record unless one exists. ARGV[at..at+10]: its life in ms, then state,
-- class with the ID of the API key after it, openid, user (one of the two is ''),
-- template, hash, queued at, not-before, not-after ('': none), its entry of the index.
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
  local class, key = string.sub(ARGV[at + 2], 1, 1), string.sub(ARGV[at + 2], 2)
  local to, user = ARGV[at + 3], ARGV[at + 4]
  redis.call('HSET', record, 's', ARGV[at + 1], 'c', class, to ~= '' and 't' or 'u', to ~= '' and to or user,
    'p', ARGV[at + 5], 'h', ARGV[at + 6], 'q', ARGV[at + 7])
  if ARGV[at + 8] ~= '' then
    redis.call('HSET', record, 'b', ARGV[at + 8])
  end
  if ARGV[at + 9] ~= '' then
    redis.call('HSET', record, 'n', ARGV[at + 9])
  end
  if key ~= '' then
    redis.call('HSET', record, 'K', key)
  end
  redis.call('PEXPIRE', record, ARGV[at])
  entries[#entries + 1] = ARGV[at + 10]
  longest = math.max(longest, tonumber(ARGV[at]))
end

-- Counts the records that this call created, and adds their entries to a segment of the
-- index, which lives at least as long as they. The last five of KEYS are the segment, the
-- list of segments, which has it from then on, and the history (3): those of now, in
-- milliseconds.
local function index(now)
  if #entries > 0 then
    local segment, segments = KEYS[#KEYS - 4], KEYS[#KEYS - 3]
    add_history(now, {q = #entries}, {})
    local life = longest + 7200000
    local new = redis.call('RPUSH', segment, table.concat(entries)) == 1
    if new then
      local name, hour = string.match(segment, '}:(ix:(%d+))$')
      redis.call('ZADD', segments, hour, name)
    end
    if new or longest > 2592000000 then
      for _, key in ipairs({segment, segments}) do
        if redis.call('PTTL', key) < life then
          redis.call('PEXPIRE', key, string.format('%.0f', life))
        end
      end
    end
  end
end
