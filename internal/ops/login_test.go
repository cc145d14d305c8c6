package ops_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/ops"
	"github.com/wxnotify/wxnotify/wechat"
)

// TestGuessesAtOnce: the count of failures holds for guesses that come all at
// the same time, too.
func TestGuessesAtOnce(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = rdb.Close() })
	hash, err := ops.HashPassword(wechat.NewSecret("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := ops.New(ops.Config{Redis: rdb, Addr: ":9090", Logins: []ops.Login{{Name: "li", Password: wechat.NewSecret(hash)}}})
	if err != nil {
		t.Fatal(err)
	}
	const guesses = 40
	var looked, turned atomic.Int64
	var all sync.WaitGroup
	for range guesses {
		all.Go(func() {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/nothing", http.NoBody)
			r.SetBasicAuth("li", "guess")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			switch w.Code {
			case http.StatusUnauthorized:
				looked.Add(1)
			case http.StatusTooManyRequests:
				turned.Add(1)
			}
		})
	}
	all.Wait()
	// Five failures close the door; one more may be under way beside the fifth.
	if looked.Load() > 6 || looked.Load()+turned.Load() != guesses {
		t.Errorf("%d of %d guesses were looked at, %d turned away; want at most 6 looked at", looked.Load(), guesses, turned.Load())
	}
}
