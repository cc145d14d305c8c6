-- task_state, remove, put and push: the half of an enqueue that writes tasks.
-- KEYS[1] pending, KEYS[2] scheduled, KEYS[3] retry, KEYS[4] archived, KEYS[5] completed,
-- KEYS[6] the idle mark of the queue.
-- ARGV[1] now in nanoseconds, ARGV[2] channel of wake-ups, ARGV[3] class.
local put_ids = {}

-- The state of a task; nil when there is none.
local function task_state(task)
  return redis.call('HGET', task, 'state') or nil
end

-- Removes a task from its queue. state: its state, which must not be active.
local function remove(task, id, state)
  local set = {scheduled = KEYS[2], retry = KEYS[3], archived = KEYS[4], completed = KEYS[5]}
  if state == 'pending' then
    redis.call('LREM', KEYS[1], 1, id)
  elseif set[state] then
    redis.call('ZREM', set[state], id)
  end
  redis.call('DEL', task)
end

-- Writes a task. ARGV[at..at+2]: ID, asynq's message, due time in Unix seconds ('0':
-- at once). state: that of a task of this ID which is replaced, nil for none; it must
-- not be active.
local function put(task, at, state)
  local id, message, due = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if state then
    remove(task, id, state)
  end
  if due == '0' then
    redis.call('HSET', task, 'msg', message, 'state', 'pending', 'pending_since', ARGV[1])
    put_ids[#put_ids + 1] = id
  else
    redis.call('HSET', task, 'msg', message, 'state', 'scheduled')
    redis.call('ZADD', KEYS[2], due, id)
  end
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
