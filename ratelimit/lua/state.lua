-- Reads all of it and changes nothing.
-- returns {now ms, day, used, cap, reserve, trusted, reconciled ms, rate, pauses, history, leased, limit}
if today > day then
  h[10] = (h[10] or '') .. ' ' .. int(day) .. ':' .. int(used)
  day, used, h[12] = today, 0, false
end
return {now_ms, day, used, cap, keep, trusted and 1 or 0, tonumber(h[12]) or 0,
  string.format('%.3f', pace()), h[6] or '', h[10] or '', live_leases(false), limit}
