-- Stores that a worker is alive, by Redis' clock.
-- KEYS[1]  hash   <id>: "<seen ms> <clock ahead ms> <JSON>"   last: ms of the last report of any worker
-- ARGV     id, JSON, the worker's clock in ms, "1" to count and clean up, ms that an entry counts,
--          ms that it is kept, ms that the hash is kept, most entries
-- Reply    {alive, suspended} when asked to count, else {}
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local function int(n) return string.format('%.0f', n) end
redis.call('HSET', KEYS[1], ARGV[1], int(now) .. ' ' .. int(tonumber(ARGV[3]) - now) .. ' ' .. ARGV[2], 'last', int(now))
if ARGV[4] ~= '1' then return {} end

redis.call('PEXPIRE', KEYS[1], ARGV[7])
local alive, suspended, kept = 0, 0, {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if all[i] ~= 'last' then
    local seen = tonumber(string.match(all[i + 1], '^%d+')) or 0
    -- An entry of the future is one of before the clock was set back.
    local age = math.abs(now - seen)
    if age > tonumber(ARGV[6]) then
      redis.call('HDEL', KEYS[1], all[i])
    else
      kept[#kept + 1] = {age, all[i]}
      if age <= tonumber(ARGV[5]) then
        alive = alive + 1
        if string.find(all[i + 1], '"suspended":', 1, true) then suspended = suspended + 1 end
      end
    end
  end
end
table.sort(kept, function(a, b) return a[1] < b[1] end)
for i = tonumber(ARGV[8]) + 1, #kept do redis.call('HDEL', KEYS[1], kept[i][2]) end
return {alive, suspended}
