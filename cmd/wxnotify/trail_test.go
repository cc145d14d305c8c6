package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// auditedCommands are the commands that change what an operator decides, with arguments,
// and the action and the detail that the audit trail tells.
func auditedCommands(csv string) map[string]struct {
	args           []string
	action, detail string
} {
	return map[string]struct {
		args           []string
		action, detail string
	}{
		"api keys create":  {[]string{"--name", "shop", "--kind", "test", "--scopes", "send,read"}, "create key", "shop test send,read"},
		"api keys revoke":  {[]string{"k1"}, "revoke key", "k1"},
		"api keys rotate":  {[]string{"k1"}, "rotate key", "k1"},
		"cancel":           {[]string{"order-13812345678", "order-2"}, "cancel", "2 messages: order-*"},
		"dead drop":        {[]string{"order-1"}, "drop", "1 message: order-1"},
		"dead retry":       {[]string{"order-1", "order-2"}, "retry", "2 messages: order-1, order-2"},
		"enroll erase":     {[]string{"--user", "patient-401-canary"}, "erase", ""},
		"enroll export":    {nil, "enroll export", ""},
		"enroll import":    {[]string{csv}, "enroll import", "users.csv"},
		"enroll migrate":   {[]string{"--from", "wx0000000000000001"}, "enroll migrate", "from wx0000000000000001"},
		"enroll sync":      {nil, "enroll sync", ""},
		"enroll unbind":    {[]string{"--user", "patient-401-canary"}, "unbind", ""},
		"queues pause":     {[]string{"bulk", "--reason", "stocktaking"}, "paused", "sending bulk: stocktaking"},
		"queues resume":    {[]string{"bulk"}, "resumed", "sending bulk"},
		"seal names":       {nil, "seal names", ""},
		"seal rotate":      {nil, "seal rotate", "with key "},
		"suppress add":     {[]string{"oCANARYx7Qk_4-pLmNb0TzYw8dEf", "--reason", "asked us", "--for", "1h"}, "suppress", "for 1h0m0s"},
		"suppress lift":    {[]string{"oCANARYx7Qk_4-pLmNb0TzYw8dEf"}, "lift", "suppression"},
		"token refresh":    {nil, "refresh token", ""},
		"token revoke":     {[]string{"--yes"}, "revoke token", ""},
		"webhooks add":     {[]string{"https://shop.example/hook?key=canary-key"}, "add webhook", "shop.example"},
		"webhooks enable":  {[]string{"w1"}, "enable webhook", "w1"},
		"webhooks recover": {[]string{"w1"}, "recover webhook", "w1"},
		"webhooks remove":  {[]string{"w1"}, "remove webhook", "w1"},
		"webhooks rotate":  {[]string{"w1"}, "rotate webhook", "w1"},
	}
}

// Each command that connects to Redis writes a line into the audit trail, also where it
// fails then, or is on this list of those that change nothing that an operator decides.
func TestEveryCommandIsAuditedOrOnlyLooks(t *testing.T) {
	t.Parallel()
	looking := []string{
		"api", "api keys", "api keys list", "audit", "config", "config check", "dead", "dead list", "demo", "doctor", "enroll", "enroll audit", "enroll link", "enroll list",
		"events", "healthcheck", "init", "messages", "queues", "quota", "rid", "seal", "seal status", "send", "serve", "stats", "status", "suppress", "suppress list", "templates", "token",
		"webhooks list", "webhooks test", "worker",
	}
	csv := filepath.Join(t.TempDir(), "users.csv")
	check(t, os.WriteFile(csv, []byte("patient-401,oCANARYx7Qk_4-pLmNb0TzYw8dEf\n"), 0o600))
	table := auditedCommands(csv)
	everyCommand((&app{}).command(), func(cmd *cobra.Command) {
		_, path, _ := strings.Cut(cmd.CommandPath(), " ")
		if groupsOf(cmd)&settings.Connecting == 0 {
			return
		}
		row, known := table[path]
		if action := actionOf(cmd); action != row.action || known == slices.Contains(looking, path) {
			t.Errorf("%s: action %q, want %q; audited %v, looks %v", path, action, row.action, known, slices.Contains(looking, path))
		}
	})
	env := map[string]string{
		"WXNOTIFY_REDIS_URL": redistest.Start(t).UserURL(t), "WXNOTIFY_APPID": wechattest.AppID, "WXNOTIFY_APPSECRET": wechattest.AppSecret,
		"WXNOTIFY_TOKEN_MODE": "classic", "WXNOTIFY_WECHAT_BASE_URL": "http://127.0.0.1:1", "WXNOTIFY_SEAL_KEYS": olderSeal, "WXNOTIFY_SEAL_NAME_KEYS": olderNames,
	}
	for _, path := range slices.Sorted(maps.Keys(table)) {
		row := table[path]
		r := inProcess(t, env, append(strings.Fields(path), row.args...)...)
		lines := strings.Split(inProcess(t, env, "audit", "--output", "json").stdout, "\n")
		var e ledger.Entry
		for _, line := range lines { // the latest first; bindings have lines of their own
			if check(t, json.Unmarshal([]byte(line), &e)); e.Action == row.action {
				break
			}
		}
		if e.Action != row.action || e.Actor != operator() || !strings.HasPrefix(e.Detail, row.detail) {
			t.Errorf("%s: the trail says %+v\n%s%s", path, e, r.stdout, r.stderr)
		}
		if r.code == exitUsage && path != "token revoke" || r.code == exitDone && r.stdout == "" && path != "enroll export" {
			t.Errorf("%s: exit %d and nothing said\n%s", path, r.code, r.stderr)
		}
	}
	inProcess(t, env, "audit").hasNot(t, "13812345678", "patient-401-canary", "oCANARYx7Qk_4-pLmNb0TzYw8dEf", "canary-key")
}

// Who revokes a key that leaked may paste the key; an address without its scheme has no
// host. Neither comes into the trail.
func TestSecretsInPlaceOfIDsAreNotInTheTrail(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"WXNOTIFY_REDIS_URL": redistest.Start(t).UserURL(t), "WXNOTIFY_APPID": wechattest.AppID, "WXNOTIFY_APPSECRET": wechattest.AppSecret,
		"WXNOTIFY_WECHAT_BASE_URL": "http://127.0.0.1:1",
	}
	_, key := newKey(t, env)
	const signing = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	for _, args := range [][]string{
		{"api", "keys", "revoke", key},
		{"api", "keys", "rotate", key},
		{"webhooks", "remove", signing},
		{"webhooks", "rotate", signing},
		{"webhooks", "add", "shop.example/hook?k=canary"},
		{"webhooks", "add", "//u:canary@/hook"},
	} {
		r := inProcess(t, env, args...)
		if r.code == exitDone {
			t.Errorf("%v: done", args[:3])
		}
		r.hasNot(t, key[len(key)-26:], signing)
	}
	audit := inProcess(t, env, "audit")
	audit.has(t, exitDone, "an ID that is not shown", "an address without a host")
	audit.hasNot(t, key, key[len(key)-26:], signing, "canary")
}

// A revocation that was not confirmed is no change.
func TestADeclinedRevocationIsNotAudited(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"WXNOTIFY_REDIS_URL": redistest.Start(t).UserURL(t), "WXNOTIFY_APPID": wechattest.AppID, "WXNOTIFY_APPSECRET": wechattest.AppSecret,
		"WXNOTIFY_WECHAT_BASE_URL": "http://127.0.0.1:1",
	}
	inProcess(t, env, "token", "revoke").has(t, exitUsage, "not confirmed")
	inProcess(t, env, "audit").has(t, exitDone, "nothing has been changed")
}
