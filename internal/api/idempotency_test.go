package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// The first call of an Idempotency-Key runs although the answer to its note was lost.
func TestIdempotencyKeyWithALostAnswer(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	noID := strings.Replace(body, `"id":"order-1",`, "", 1)
	repeated := redistest.Twice(s.rdb, "", ":api:idem:")
	want(t, s.call(t, "POST", "/v1/messages", secret, noID, header{"Idempotency-Key": "call-1"}), http.StatusAccepted)
	if !repeated() {
		t.Error("nothing was repeated")
	}
	again := want(t, s.call(t, "POST", "/v1/messages", secret, noID, header{"Idempotency-Key": "call-1"}), http.StatusAccepted)
	if again.Header.Get("Idempotent-Replay") != "true" {
		t.Error("the second call is no replay")
	}
}

// A call whose note went to another call, because it took too long, leaves the other one's.
func TestIdempotencyNoteIsEndedByItsOwner(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusAccepted, http.StatusTooManyRequests} { // an answer that is kept, one that is not
		s := newStand(t)
		secret := s.key(t, appid, func(k *apikey.Key) { k.Share = 0.01 })
		if status == http.StatusTooManyRequests {
			want(t, s.call(t, "POST", "/v1/messages", secret, message("m1")), http.StatusAccepted)
		}
		const another = `{"body":"another"}`
		h := &takeover{another: another}
		s.rdb.AddHook(h)
		want(t, s.call(t, "POST", "/v1/messages", secret, message("m2"), header{"Idempotency-Key": "call-1"}), status)
		if got := s.rdb.Get(t.Context(), h.key).Val(); got != another {
			t.Errorf("after %d the note is %q", status, got)
		}
	}
}

// takeover gives the first note of an Idempotency-Key to another call.
type takeover struct{ another, key string }

func (*takeover) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*takeover) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *takeover) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		for _, arg := range cmd.Args() {
			if key, ok := arg.(*string); ok && err == nil && h.key == "" && strings.Contains(*key, ":api:idem:") {
				h.key = *key
				_ = next(ctx, redis.NewStatusCmd(ctx, "set", h.key, h.another))
			}
		}
		return err
	}
}
