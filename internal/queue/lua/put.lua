-- put and wake: the half of an enqueue that writes tasks.
-- KEYS[1] pending, KEYS[2] scheduled, KEYS[3] retry, KEYS[4] archived, KEYS[5] completed,
-- KEYS[6] the idle mark of the queue.
-- ARGV[1] now in nanoseconds, ARGV[2] channel of wake-ups, ARGV[3] class.
local put_ids = {}

-- Whether a worker has the task of an earlier message with the same ID.
local function task_active(task)
  return redis.call('HGET', task, 'state') == 'active'
end

-- Writes one task unless it exists. ARGV[at..at+2]: ID, asynq's message, due time
-- in Unix seconds ('0': at once). replace: a task that exists is one of an earlier
-- message and gets this message.
-- Returns 1 when the task was written, 0 when one exists, 2 when it should have been
-- replaced and a worker has it.
local function put(task, at, replace)
  local id, message, due = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local state = redis.call('HGET', task, 'state')
  if state and not replace then
    return 0
  elseif state == 'active' then
    return 2
  end
  local set = {scheduled = KEYS[2], retry = KEYS[3], archived = KEYS[4], completed = KEYS[5]}
  if state == 'pending' then
    redis.call('LREM', KEYS[1], 1, id)
  elseif set[state] then
    redis.call('ZREM', set[state], id)
  end
  if state then
    redis.call('DEL', task)
  end
  if due == '0' then
    redis.call('HSET', task, 'msg', message, 'state', 'pending', 'pending_since', ARGV[1])
    put_ids[#put_ids + 1] = id
  else
    redis.call('HSET', task, 'msg', message, 'state', 'scheduled')
    redis.call('ZADD', KEYS[2], due, id)
  end
  return 1
end

-- Pushes what was put, in its order, and wakes a worker that found the queue empty.
local function push()
  if #put_ids > 0 then
    redis.call('LPUSH', KEYS[1], unpack(put_ids))
    if redis.call('DEL', KEYS[6]) == 1 then
      redis.call('PUBLISH', ARGV[2], ARGV[3])
    end
  end
end
