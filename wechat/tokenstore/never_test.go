package tokenstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

// A process without the AppSecret uses the token of the others, and leaves lease and
// back-off to them: it must not keep a worker from fetching.
func TestAProcessThatNeverFetchesLeavesLeaseAndBackOff(t *testing.T) {
	t.Parallel()
	bubble(t, tokenstore.Stable, func(t *testing.T, f *fleet) {
		missing := errors.New("the secret is missing")
		cfg := f.cfg
		cfg.NeverFetch = missing
		reader := newStore(t, f.rdb, nil, cfg)
		refused := func(what string, err error) {
			t.Helper()
			if !errors.Is(err, missing) {
				t.Errorf("%s: %v", what, err)
			}
		}
		try := func() {
			t.Helper()
			_, err := reader.Refresh(t.Context())
			refused("Refresh", err)
			refused("Revoke", reader.Revoke(t.Context(), nil))
			refused("Run", reader.Run(t.Context()))
		}
		_, err := reader.Token(t.Context())
		refused("Token without one", err)
		try()
		if st := mustState(t, reader); st.Error != "" || len(f.mini.Keys()) > 0 {
			t.Errorf("it left %+v and the keys %v", st, f.mini.Keys())
		}
		worker := f.store()
		before := time.Now()
		token := mustToken(t, worker)
		if time.Since(before) > 0 || len(f.wx.fetched) != 1 {
			t.Errorf("the worker waited %v, fetches %d", time.Since(before), len(f.wx.fetched))
		}
		pass(2 * time.Second)
		if got := mustToken(t, reader); got.Value != token.Value {
			t.Error("it does not use the worker's token")
		}
		try()
		f.wx.set(func(p *platform) { p.fail = &wechat.Error{Code: 40125} })
		must(t, worker.Drop(t.Context()))
		if _, err := worker.Token(t.Context()); err == nil {
			t.Fatal("no failure")
		}
		pass(5 * time.Second)
		if _, err := newStore(t, f.rdb, nil, cfg).Token(t.Context()); !errors.Is(err, missing) {
			t.Errorf("after a failed fetch of the worker: %v", err)
		}
	})
}
