-- Whether the queue holds a task that may be fetched. If not, it leaves the idle
-- mark, so that the next enqueue wakes this worker.
-- KEYS: pending, paused, idle. ARGV[1]: life of the mark in ms.
if redis.call('LLEN', KEYS[1]) > 0 and redis.call('EXISTS', KEYS[2]) == 0 then
  return 1
end
redis.call('SET', KEYS[3], '1', 'PX', ARGV[1])
return 0
