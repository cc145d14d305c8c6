-- Looks after tasks that are in no set although their state says so.
-- One that waited (scheduled, retry) is due at once; one that was archived is
-- deleted, as asynq meant to do when it cut the archive.
-- KEYS: scheduled, retry, archived, completed. ARGV: prefix of tasks, now in
-- seconds, IDs from the third on.
-- Returns {put back, deleted}.
local set = {scheduled = KEYS[1], retry = KEYS[2], archived = KEYS[3], completed = KEYS[4]}
local mended, deleted = 0, 0
for i = 3, #ARGV do
  local id = ARGV[i]
  local state = redis.call('HGET', ARGV[1] .. id, 'state')
  local key = state and set[state]
  if key and not redis.call('ZSCORE', key, id) then
    if state == 'scheduled' or state == 'retry' then
      redis.call('ZADD', key, ARGV[2], id)
      mended = mended + 1
    else
      redis.call('DEL', ARGV[1] .. id)
      deleted = deleted + 1
    end
  end
end
return {mended, deleted}
