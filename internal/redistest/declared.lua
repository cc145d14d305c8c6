-- Put before a script: a command that uses a key which the script does not declare
-- fails.
local redis = (function(real)
  local keys = {}
  for _, key in ipairs(KEYS) do keys[key] = true end
  local keyless = {TIME = true, PUBLISH = true, PING = true}
  local first = {} -- commands with more than one key
  for _, name in ipairs({'DEL', 'EXISTS', 'UNLINK', 'MGET'}) do first[name] = 'all' end
  for _, name in ipairs({'RPOPLPUSH', 'RENAME'}) do first[name] = 2 end
  local function verify(name, ...)
    name = string.upper(name)
    local args = {...}
    local from, to = 1, 1
    if first[name] == 'all' then to = #args elseif first[name] then to = first[name] end
    if name == 'MEMORY' then from, to = 2, 2 end
    if keyless[name] then to = 0 end
    for i = from, to do
      if not keys[args[i]] then
        error('undeclared key ' .. tostring(args[i]) .. ' of ' .. name, 0)
      end
    end
  end
  local checked = {}
  for name, value in pairs(real) do checked[name] = value end
  checked.call = function(...) verify(...) return real.call(...) end
  checked.pcall = function(...) verify(...) return real.pcall(...) end
  return checked
end)(redis)
