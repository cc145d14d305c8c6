package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// TestReadinessOfServeNamesNoAppIDToStrangers guards the wiring: every check of the
// process has its appid in a field that only admins see.
func TestReadinessOfServeNamesNoAppIDToStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t).URL())
	ops := testutil.FreeAddr(t)
	worker := start(t, w.with("WXNOTIFY_OPS_ADDR", ops, "WXNOTIFY_OPS_LOGIN", "li:a-long-password"), "worker")
	worker.says(t, "worker started")
	for auth, named := range map[string]bool{"": false, "li:wrong": false, "li:a-long-password": true} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ops+"/readyz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if name, password, ok := strings.Cut(auth, ":"); ok {
			req.SetBasicAuth(name, password)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		body := string(raw)
		if err != nil || strings.Contains(body, wechattest.AppID) != named || !strings.Contains(body, "worker") {
			t.Errorf("with login %q: %s, %v", auth, body, err)
		}
	}
}
