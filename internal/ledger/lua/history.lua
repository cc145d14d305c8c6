-- The history of an account: how many messages were enqueued, were accepted, ended and so
-- on, by minute, hour and day of China.

-- Adds each number of a list to a hash, which lives for life ms after its latest new field.
-- A field past the limit, when there is one, is counted as other of its state.
local function add_counts(key, prefix, list, life, limit)
  for what, n in pairs(list) do
    if redis.call('HINCRBY', key, prefix .. what, n) == n then -- a new field
      redis.call('PEXPIRE', key, life)
      if limit and redis.call('HLEN', key) > limit then
        redis.call('HDEL', key, what)
        redis.call('HINCRBY', key, string.sub(what, 1, 1) .. 'other', n)
      end
    end
  end
end

-- Adds counts to the history. The last three of KEYS are its hashes of now, in
-- milliseconds: the minutes of the hour, the hours of the day, and the day. counts has a
-- number for each letter of a state; causes has one for each letter and cause, of the day
-- alone: WeChat's errcodes are not bounded by us.
local function add_history(now, counts, causes)
  local n, minutes = #KEYS, now / 60000
  add_counts(KEYS[n - 2], string.format('%02d', math.floor(minutes) % 60), counts, '176400000') -- 49 hours
  add_counts(KEYS[n - 1], string.format('%02d', math.floor(minutes / 60 + 8) % 24), counts, '7862400000') -- 91 days
  add_counts(KEYS[n], '', counts, '63244800000') -- 732 days
  add_counts(KEYS[n], '', causes, '63244800000', 200)
end
