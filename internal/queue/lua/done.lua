-- asynq's done for many tasks, with the same effects. It looks for each task from
-- the old end of the active list, where asynq's own reads the whole list each time.
-- KEYS: active, lease, processed of the day, processed, then the tasks.
-- ARGV: when the day's count ends, the largest count, then the IDs.
-- Returns for each: 1 completed, 0 not active (asynq's own script answers NOT FOUND).
local out, ids, tasks = {}, {}, {}
for i = 1, #ARGV - 2 do
  out[i] = redis.call('LREM', KEYS[1], -1, ARGV[2 + i])
  if out[i] == 1 then
    ids[#ids + 1] = ARGV[2 + i]
    tasks[#tasks + 1] = KEYS[4 + i]
  end
end
local n = #ids
if n == 0 then
  return out
end
redis.call('ZREM', KEYS[2], unpack(ids))
redis.call('DEL', unpack(tasks))
if redis.call('INCRBY', KEYS[3], n) == n then
  redis.call('EXPIREAT', KEYS[3], ARGV[1])
end
if tonumber(redis.call('GET', KEYS[4]) or 0) + n >= tonumber(ARGV[2]) then
  redis.call('SET', KEYS[4], n)
else
  redis.call('INCRBY', KEYS[4], n)
end
return out
