-- The second half of an enqueue in a cluster: tasks.
-- KEYS: those of put.lua, then the task of each message. ARGV: those of put.lua, then
-- of each message the task's (3) and '1' when its record was created by this call, so
-- that a task which exists is one of an earlier message.
-- Returns for each: 1 there is a task, 'active': a worker has that of an earlier message.
local out = {}
for n = 1, #KEYS - 6 do
  local task, at = KEYS[6 + n], 4 + 4 * (n - 1)
  local state = task_state(task)
  local earlier = state and ARGV[at + 3] == '1'
  out[n] = 1
  if earlier and state == 'active' then
    out[n] = 'active'
  elseif earlier or not state then
    put(task, at, state)
  end
end
push()
return out
