-- The history of an account: how many messages were enqueued, were accepted, ended and so
-- on, by minute, hour and day of China.

-- Adds counts to the history. The last three of KEYS are its hashes of now, in
-- milliseconds: the minutes of the hour, the hours of the day, and the day. counts has a
-- number for each letter of a state; causes has one for each letter and cause, of the day
-- alone.
local function add_history(now, counts, causes)
  local n, minutes = #KEYS, now / 60000
  local function add(key, prefix, list, life)
    for what, by in pairs(list) do
      if redis.call('HINCRBY', key, prefix .. what, by) == by then -- a new field
        redis.call('PEXPIRE', key, life)
        if list == causes and redis.call('HLEN', key) > 200 then -- WeChat's errcodes are not bounded by us
          redis.call('HDEL', key, what)
          redis.call('HINCRBY', key, string.sub(what, 1, 1) .. 'other', by)
        end
      end
    end
  end
  add(KEYS[n - 2], string.format('%02d', math.floor(minutes) % 60), counts, '176400000') -- 49 hours
  add(KEYS[n - 1], string.format('%02d', math.floor(minutes / 60 + 8) % 24), counts, '7862400000') -- 91 days
  add(KEYS[n], '', counts, '63244800000') -- 732 days
  add(KEYS[n], '', causes, '63244800000')
end
