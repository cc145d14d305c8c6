package apikey

import (
	"context"
	"fmt"
	"time"
)

// Quota is an account's quota of one day, of which a key's share is a part.
type Quota struct {
	Day      string    // 2006-01-02 where the day turns
	Limit    int64     // messages; 0: not known, which bounds no key
	ResetsAt time.Time // when the next day begins
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
// do not ask for the quota. The error is *ShareError, that of quota, or Redis'.
func (k *Keyring) Book(ctx context.Context, key *Key, n int, quota func(context.Context) (Quota, error)) (Booking, error) {
	store := k.Store(key.Account)
	if key.Share == 0 || key.Kind == Test || store == nil {
		return Booking{}, nil
	}
	today, err := quota(ctx)
	if err != nil {
		return Booking{}, fmt.Errorf("read the quota: %w", err)
	}
	limit := key.DailyLimit(today.Limit)
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
