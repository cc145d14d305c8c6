package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/templates"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// TestRidShowsWeChatsRecord of a refused message, masked unless asked.
func TestRidShowsWeChatsRecord(t *testing.T) {
	t.Parallel()
	const openid, value = "oCommand000000000000000000001", "张三的咖啡"
	w := newWorld(t, redistest.Start(t, redistest.AOF()...).URL())
	w.control(t, "POST", "/_sim/followers", map[string]any{"openids": []string{openid}, "do": "unfollow"}, nil)
	start(t, w.env, "worker").says(t, "worker started")
	if r := inProcess(t, w.env, replaced(sendArgs("refused", "--wait"), "thing1=咖啡 & <司康>", "thing1="+value)...); r.code != 1 {
		t.Fatalf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	var status struct {
		RID string `json:"rid"`
	}
	if err := json.Unmarshal([]byte(inProcess(t, w.env, "status", "refused", "--output", "json").stdout), &status); err != nil || status.RID == "" {
		t.Fatalf("no rid: %v, %+v", err, status)
	}
	text := inProcess(t, w.env, "rid", status.RID)
	if text.code != 0 || !strings.Contains(text.stdout, "127.0.0.1") || !strings.Contains(text.stdout, wechattest.TemplateOrderPaid) || !strings.Contains(text.stdout, "43004") {
		t.Errorf("exit %d\n%s%s", text.code, text.stdout, text.stderr)
	}
	asJSON := inProcess(t, w.env, "rid", status.RID, "--output", "json")
	var view ridView
	if err := json.Unmarshal([]byte(asJSON.stdout), &view); err != nil || view.RID != status.RID || view.InvokedAt.IsZero() || view.ClientIP == "" {
		t.Errorf("%v, %+v", err, view)
	}
	for _, personal := range []string{openid, value} {
		if strings.Contains(text.stdout+asJSON.stdout, personal) {
			t.Errorf("shows %s:\n%s\n%s", personal, text.stdout, asJSON.stdout)
		}
		if r := inProcess(t, w.env, "rid", status.RID, "--unmasked"); !strings.Contains(r.stdout, personal) {
			t.Errorf("--unmasked does not show %s:\n%s", personal, r.stdout)
		}
	}
	if r := inProcess(t, w.env, "rid", "00000000-00000000-00000000"); r.code != 1 || !strings.Contains(r.stderr, "76001") {
		t.Errorf("an unknown rid: exit %d, %s", r.code, r.stderr)
	}
	if r := inProcess(t, w.env, "rid", " "); r.code != exitUsage {
		t.Errorf("an empty rid: exit %d, %s", r.code, r.stderr)
	}
}

func TestMaskBody(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"":    "",
		"a=b": "(3 bytes, not JSON; --unmasked shows them)",
		`{"data":{"thing1":{"value":"张三"}},"url":"https://h/?user=1","n":13800138000,"list":["x"],"errmsg":"ok","on":true}`: `{"data":{"thing1":{"value":"…(2)"}},"errmsg":"ok","list":["…(1)"],"n":"*********00","on":true,"url":"…(17)"}`,
	} {
		if got := maskBody(body); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

func TestTemplatesListsKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t).URL())
	r := inProcess(t, w.env, "templates")
	if r.code != 0 || !strings.Contains(r.stdout, wechattest.TemplateOrderPaid) || !strings.Contains(r.stdout, "thing1 time2 amount3") {
		t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	var view struct {
		Account   string               `json:"account"`
		Templates []templates.Template `json:"templates"`
	}
	r = inProcess(t, w.env, "templates", "--output", "json")
	if err := json.Unmarshal([]byte(r.stdout), &view); err != nil || view.Account != wechattest.AppID || len(view.Templates) != 3 {
		t.Fatalf("%v\n%s", err, r.stdout)
	}
	if i := slices.IndexFunc(view.Templates, func(v templates.Template) bool { return v.ID == wechattest.TemplateOrderPaid }); i < 0 || !slices.Equal(view.Templates[i].Keys, []string{"thing1", "time2", "amount3"}) {
		t.Errorf("%+v", view.Templates)
	}
	w.control(t, "POST", "/_sim/account", map[string]any{"freeze": 50007}, nil)
	if r := inProcess(t, w.env, "templates"); r.code != 1 || !strings.Contains(r.stderr, "50007") {
		t.Errorf("of a frozen account: exit %d, %s", r.code, r.stderr)
	}
}
