package main

import (
	"strings"
	"testing"
)

func TestSimulateTurnsTheDayWhereItIsTold(t *testing.T) {
	t.Parallel()
	if r := inProcess(t, nil, "simulate", "--quota-utc-offset", "8"); r.code != exitUsage || !strings.Contains(r.stderr, "+08:00") {
		t.Errorf("exit %d, %q: want wrong usage, and an example", r.code, r.stderr)
	}
	for _, offset := range []string{"+00:00", "-03:30", "+08:00"} {
		f := simulateFlags{appid: "wx1", secret: "s", quota: 10, utcOffset: offset, ipCheck: "all", allowedIPs: []string{"10.0.0.0/8"}}
		if err := f.check(); err != nil {
			t.Errorf("%s: %v", offset, err)
		}
		f.platform().Close()
	}
}

// The printed exports are all that wxnotify needs to use the simulator: without
// the last one, links would lead followers to the real WeChat.
func TestSimulatePrintsTheVariablesThatPointToIt(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "simulate", "--addr", "127.0.0.1:0")
	for _, name := range []string{"APPID", "APPSECRET", "WECHAT_BASE_URL", "WECHAT_AUTHORIZE_URL"} {
		p.says(t, "export WXNOTIFY_"+name+"=")
	}
}
