-- Orders what is heard of a follower: by WeChat's own times, which are whole
-- seconds, then by the place in the inbox.
-- KEYS[1] the latest that was heard. ARGV[1] when this was, ARGV[2] '1' for
-- follows or '0', ARGV[3] how long to remember, ARGV[4] its place in the inbox, a
-- stream ID, ARGV[5] '1': it was delivered late, so that its place says nothing.
-- Returns the latest; 'ask' when this one says otherwise and cannot be placed.
local function earlier(a, b)
  local ams, aseq = string.match(a, '^(%d+)-(%d+)$')
  local bms, bseq = string.match(b, '^(%d+)-(%d+)$')
  if ams ~= bms then
    return tonumber(ams) < tonumber(bms)
  end
  return tonumber(aseq) < tonumber(bseq)
end
local last = redis.call('GET', KEYS[1])
if last then
  local at, place, follows = string.match(last, '^(%d+) ?(%d*%-?%d*) ([01])$')
  if place == '' then
    place = '0-0' -- of an older version
  end
  if tonumber(at) > tonumber(ARGV[1]) then
    return last
  end
  if tonumber(at) == tonumber(ARGV[1]) and place ~= '0-0' then
    if place == ARGV[4] or earlier(ARGV[4], place) then
      return last
    end
    if ARGV[5] == '1' and follows ~= ARGV[2] then
      return 'ask'
    end
  end
end
local now = ARGV[1] .. ' ' .. ARGV[4] .. ' ' .. ARGV[2]
redis.call('SET', KEYS[1], now, 'PX', ARGV[3])
return now
