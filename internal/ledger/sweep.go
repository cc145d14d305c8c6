package ledger

import (
	"context"
	"fmt"
	"time"
)

// sweepStep bounds the work of one script.
const sweepStep = 1000

// Sweep counts the accepted messages whose receipt did not come within
// ReceiptWait as Missing, on the day of the sweep and each once: at most limit of
// them, and returns how many. They are not sent again; their end is what Get
// tells. Each acceptance does the same for 20 in passing, so that what is awaited
// stays bounded where nobody sweeps.
func (l *Ledger) Sweep(ctx context.Context, limit int) (int, error) {
	total := 0
	for total < limit {
		now := time.Now()
		step := min(limit-total, sweepStep)
		o := &op{
			script: l.scripts.sweep, keys: []string{l.awaitKey(), l.countsKey(day(now))},
			args: []any{stamp(now.Add(-ReceiptWait)), step},
		}
		if err := l.batch.do(ctx, o); err != nil {
			return total, fmt.Errorf("ledger: sweep missing receipts: %w", err)
		}
		n, _ := o.cmd.Val().(int64)
		total += int(n)
		if int(n) < step {
			break
		}
	}
	return total, nil
}
