package main

import (
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/redistest"
)

// A person who copies a masked ID, user or openid from a page, a list or a log is told so by each
// command that takes one.
func TestAMaskedIDIsNamedByEachCommandThatTakesOne(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"WXNOTIFY_REDIS_URL": redistest.Start(t).URL(), "WXNOTIFY_APPID": "wx0000000000000001",
		"WXNOTIFY_PUBLIC_URL": "https://notify.example.com", "WXNOTIFY_ENROLL_KEY": strings.Repeat("5f1d", 16),
	}
	id, user, openid := mask.NewIDs().Mask("order-13812345678"), mask.Name("patient-401"), mask.Name("oMasked00000000000000000001")
	for command, code := range map[string]int{
		"status ID": exitFailed, "cancel ID": exitFailed, "dead retry ID": exitFailed, "dead drop ID": exitFailed,
		"send --user USER --template T --data thing1=x": exitFailed, "send --to OPENID --template T --data thing1=x": exitFailed,
		"messages --user USER": exitUsage, "messages --openid OPENID": exitUsage,
		"suppress add OPENID": exitUsage, "suppress lift OPENID": exitUsage,
		"enroll link --user USER": exitUsage, "enroll list --user USER": exitUsage,
		"enroll unbind --user USER": exitUsage, "enroll unbind --user patient-401 --openid OPENID": exitUsage,
		"enroll erase --user USER": exitUsage, "enroll erase --openid OPENID": exitUsage,
	} {
		args := strings.Fields(command)
		for i, arg := range args {
			args[i] = strings.NewReplacer("ID", id, "USER", user, "OPENID", openid).Replace(arg)
			if arg == "OPENID" {
				args[i] = openid
			}
		}
		for lang, want := range map[string]string{"en": "masked", "zh": "打码后"} {
			r := inProcess(t, env, append(args, "--lang", lang)...)
			mustSay(t, r, code, want)
			if strings.Contains(r.stderr, "producer:") {
				t.Errorf("%s names a package of Go:\n%s", command, r.stderr)
			}
		}
	}
}
