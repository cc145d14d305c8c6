package apikey

import (
	"context"
	"fmt"
	"time"

	"github.com/wxnotify/wxnotify/ratelimit"
)

// Gate tells the account's quota of the day, of which a key's share is a part: a
// *ratelimit.Gate. A cap of 0 is not known, and bounds no key.
type Gate interface {
	State(ctx context.Context) (ratelimit.State, error)
}

// ShareError refuses messages because the key has used its share of the day's quota.
type ShareError struct {
	Used, Limit int64 // of the key, today
	Messages    int   // of the call
	ResetsAt    time.Time
}

func (e *ShareError) Error() string {
	return fmt.Sprintf("the key has used %d of its %d messages of the day, and the call has %d", e.Used, e.Limit, e.Messages)
}

// Booking is what Book counted. The zero value counted nothing.
type Booking struct {
	store    *Store
	key, day string
}

// Book counts n messages against the key's share of the day's quota, all or none,
// before they are enqueued. A key without a share, and a test key, count nothing and
// do not ask for the quota. The error is *ShareError, or Redis'.
func (k *Keyring) Book(ctx context.Context, key *Key, n int, gate Gate) (Booking, error) {
	store := k.Store(key.Account)
	if key.Share == 0 || key.Kind == Test || store == nil {
		return Booking{}, nil
	}
	today, err := gate.State(ctx)
	if err != nil {
		return Booking{}, fmt.Errorf("read the quota: %w", err)
	}
	limit := key.DailyLimit(today.Cap)
	used, ok, err := store.Spend(ctx, key.ID, today.Day, n, limit)
	if err != nil {
		return Booking{}, err
	}
	if !ok {
		return Booking{}, &ShareError{used, limit, n, today.ResetsAt}
	}
	return Booking{store, key.ID, today.Day}, nil
}

// refundWithin bounds Refund: it runs after the caller may have gone.
const refundWithin = time.Second

// Refund gives back n of the booked messages, which were not enqueued. It runs
// although ctx has ended. After an error the key's count of the day is too high.
func (b Booking) Refund(ctx context.Context, n int) error {
	if b.store == nil || n == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refundWithin)
	defer cancel()
	_, _, err := b.store.Spend(ctx, b.key, b.day, -n, -1)
	return err
}
