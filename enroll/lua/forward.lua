-- Lets one request hand a push to the business.
-- KEYS: the push's mark; of a follow event also the mark of its document.
-- ARGV: the name of this request behind a +, when the push arrived in ms, less than WeChat
-- waits before it repeats a push in ms, the life of the marks in ms.
-- Returns 1 for the request that may, else 0.
local mark = redis.call('GET', KEYS[1])
if mark == ARGV[1] then
  return 1 -- this very request, repeated after a lost answer
end
if mark and string.sub(mark, 1, 1) == '+' then
  return 0
end
local name = ARGV[1]
if KEYS[2] then
  -- The push's mark has the query, and a repetition may be signed anew. WeChat repeats when
  -- it has waited for an answer; the next follow of the same second comes sooner.
  local before = redis.call('GET', KEYS[2])
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
  if before and tonumber(ARGV[2]) - tonumber(before) >= tonumber(ARGV[3]) then
    name = '+'
  end
end
redis.call('SET', KEYS[1], name, 'PX', ARGV[4])
return name == ARGV[1] and 1 or 0
