-- Reads all of it and changes nothing.
if today > day then day, used, h.reconciled = today, 0, nil end
return reply({
  now = now_ms, day = day, used = used, cap = cap, reserve = keep, limit = limit,
  trusted = trusted and 1 or 0, reconciled = h.reconciled or 0, leased = live_leases(now, false),
  rate = string.format('%.3f', rate_in_force()), pauses = h.pauses or '{}',
})
