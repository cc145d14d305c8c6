package ratelimit

import (
	"context"
	"fmt"
)

// Unknown is what Reconcile takes when WeChat could not say.
const Unknown int64 = -1

// Reconcile sets the day's count from WeChat's own: limit and used are what
// openapi/quota/get said for the send's path (docs: 查询 openAPI 调用quota),
// asked today. A higher count is taken over; ours is lowered only to WeChat's +
// live leases + 1 % of the cap, the precision of WeChat's figures. A lost count
// starts from WeChat's + what live leases are left. Where limit
// is lower than Config.DailyQuota it binds; 0 means that WeChat names none.
// What remains lifts ReasonRefused, no other pause.
//
// Pass [Unknown] for both when WeChat could not say: the gate then starts from
// what it knows, which is 0 when the count was lost, and 45009 is the guard.
func (g *Gate) Reconcile(ctx context.Context, limit, used int64) error {
	_, err := g.runScript(ctx, g.scripts.reconcile, "limit", limit, "told", used)
	return g.afterChange("reconcile", err)
}

// afterChange forgets refusals after a change of our own.
func (g *Gate) afterChange(verb string, err error) error {
	if err != nil {
		return fmt.Errorf("ratelimit: %s: %w", verb, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.notify()
	return nil
}
