package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
)

// TestAFlagOfOneValueIsGivenOnce: of two recipients, the last one would get the message
// and the first one nothing.
func TestAFlagOfOneValueIsGivenOnce(t *testing.T) {
	t.Parallel()
	send := []string{"send", "--template", strings.Repeat("T", 43), "--data", "thing1=x", "--data", "thing2=y", "--dry-run"}
	env := map[string]string{"WXNOTIFY_APPID": "wx0123456789abcdef"}
	if r := inProcess(t, env, append(send, "--to", "oABCDEFGHIJKLMNOPQRSTUVWXYZ1")...); r.code != exitDone {
		t.Errorf("several --data: exit %d: %s", r.code, r.stderr)
	}
	for flag, args := range map[string][]string{
		"--to":      append(send, "--to", "oABCDEFGHIJKLMNOPQRSTUVWXYZ1", "--to", "oABCDEFGHIJKLMNOPQRSTUVWXYZ2"),
		"--user":    {"enroll", "link", "--user", "patient-1", "--user=patient-2"},
		"--json":    {"send", "--json", "a", "--json", "b"},
		"--config":  {"status", "--config", "a", "x", "--config", "b"},
		"--output":  {"status", "-o", "json", "x", "-o", "text"},
		"--dry-run": append(send, "--dry-run=false"),
	} {
		if r := inProcess(t, env, args...); r.code != exitUsage || !strings.Contains(r.stderr, flag+" is given twice") {
			t.Errorf("%v: exit %d: %s", args, r.code, r.stderr)
		}
	}
}

// TestTextOfAnotherEncodingIsRefused wherever an operator hands it in: it would be stored
// and shown damaged. The bytes are 手冲 in GBK.
func TestTextOfAnotherEncodingIsRefused(t *testing.T) {
	t.Parallel()
	const gbk = "\xca\xd6\xb3\xe5"
	env := map[string]string{"WXNOTIFY_APPID": "wx0123456789abcdef", "WXNOTIFY_APPSECRET": canarySecret}
	for want, args := range map[string][]string{
		"--user: is not UTF-8":      {"enroll", "link", "--user", gbk},
		"--reason: is not UTF-8":    {"suppress", "add", "oABCDEFGHIJKLMNOPQRSTUVWXYZ1", "--reason=" + gbk},
		"--data: is not UTF-8":      {"send", "--data", "thing1=" + gbk},
		"an argument: is not UTF-8": {"status", "a", gbk},
	} {
		if r := inProcess(t, env, args...); r.code != exitUsage || !strings.Contains(r.stderr, want) || strings.Contains(r.stderr, gbk) {
			t.Errorf("%v: exit %d: %s", args, r.code, r.stderr)
		}
	}
	env["WXNOTIFY_ACCOUNT_NAME"] = gbk
	if r := inProcess(t, env, "config", "check"); r.code != exitUsage || !strings.Contains(r.stderr, "WXNOTIFY_ACCOUNT_NAME: is not UTF-8") {
		t.Errorf("a setting: exit %d: %s", r.code, r.stderr)
	}
}

// TestHandOffIsReadStrictly: a claim of damaged data would match no follower.
func TestHandOffIsReadStrictly(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"WXNOTIFY_REDIS_URL": redistest.Start(t).URL(), "WXNOTIFY_APPID": "wx0123456789abcdef",
		"WXNOTIFY_PUBLIC_URL": "https://n.example", "WXNOTIFY_ENROLL_KEY": canarySecret,
	}
	for text, want := range map[string]string{
		"\ufeff" + `{"data":{"phone":"1"}}`:   "",
		`{"data":{"name":"` + "\xca\xd6\"}}":  "data.name is not UTF-8",
		`{"data":{"phone":"1","phone":"2"}}`:  "data.phone is given twice",
		`{"data":{"name":"\ud83d"}}`:          "data.name has half of a surrogate pair",
		`{"data":{"phone":null}}`:             "data.phone is null",
		`{"data":{"phone":13800000000}}`:      "is not JSON of the form",
		strings.Repeat(" ", 64<<10) + `{"a":`: "has more than 65536 bytes",
	} {
		file := filepath.Join(t.TempDir(), "person.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r := inProcess(t, env, "enroll", "link", "--user", "u", "--hand-off", file)
		if (r.code == exitDone) != (want == "") || !strings.Contains(r.stderr, want) {
			t.Errorf("%.40q: exit %d: %s", text, r.code, r.stderr)
		}
	}
}
