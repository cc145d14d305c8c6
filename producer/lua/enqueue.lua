-- Enqueues messages of one class: the record of each, then its task, in one step. Who
-- creates the record owns the ID.
-- KEYS: those of put.lua, then record and task of each message, then those
-- of index (5). ARGV: those of put.lua, then of each message the task's (3) and the record's (11).
-- Returns for each: 1 enqueued; 'active': a worker has the task of an earlier message
-- with this ID; or the text of an error; or the record that exists (state, class, hash,
-- not-before).
local function enqueue(n)
  local record, task = KEYS[5 + 2 * n], KEYS[6 + 2 * n]
  local item = 4 + 14 * (n - 1)
  local state = task_state(task)
  if state == 'active' and redis.call('EXISTS', record) == 0 then
    return 'active'
  end
  local old = create(record, item + 3)
  if not old then
    put(task, item, state)
    return 1
  end
  -- A record without a task: the process that created it was cut off half-way.
  if not state and waits(old) and old[2] == ARGV[item + 5] and old[3] == ARGV[item + 9] then
    put(task, item)
  end
  return old
end

local out = {}
for n = 1, (#KEYS - 11) / 2 do
  local ok, result = pcall(enqueue, n)
  out[n] = ok and result or tostring(type(result) == 'table' and result.err or result)
end
index(ARGV[1] / 1e6)
push()
return out
