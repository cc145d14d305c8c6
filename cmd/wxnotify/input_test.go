package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wxnotify/wxnotify/internal/testutil"
)

var errInterrupt = errors.New("interrupt signal received")

// Ctrl-C and SIGTERM end each command that waits for its input, whether on stdin or for
// the program that writes to a pipe.
func TestEachCommandThatWaitsForItsInputCanBeInterrupted(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"WXNOTIFY_APPID": "wx0000000000000001", "WXNOTIFY_REDIS_URL": "redis://127.0.0.1:1/0",
		"WXNOTIFY_PUBLIC_URL": "https://notify.example.com", "WXNOTIFY_ENROLL_KEY": strings.Repeat("5f1d", 16),
	}
	for _, command := range []string{
		"send --json -", "send --json PIPE", "send --json PIPE --dry-run", "enroll import - --check", "enroll import PIPE", "audit verify -", "audit verify PIPE",
		"enroll link --user u --hand-off -", "enroll link --user u --hand-off PIPE", "suppress add -", "suppress lift -",
		"messages --openid -", "enroll erase --openid -", "enroll unbind --user u --openid -", "token revoke", "init",
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancelCause(t.Context())
			interrupt(errInterrupt)
			stdin, in := io.Pipe() // nothing comes
			defer func() { _ = in.Close() }()
			ended := make(chan result, 1)
			go func() {
				var out, errOut bytes.Buffer
				args := strings.Fields(strings.ReplaceAll(command, "PIPE", pipe))
				code := run(ctx, args, environment{Env: env, Stdin: stdin, Stdout: &out, Stderr: &errOut})
				ended <- result{code, out.String(), errOut.String()}
			}()
			if r := testutil.Receive(t, "the end of the command", ended); r.code == exitDone || !strings.Contains(r.stderr, errInterrupt.Error()) {
				t.Errorf("exit %d:\n%s", r.code, r.stderr)
			}
		})
	}
}

// A pipe is read as it is written.
func TestInputComesFromAPipe(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		file, err := os.OpenFile(pipe, os.O_WRONLY, 0)
		if err == nil {
			_, _ = file.WriteString(jsonLine("a", "oPart00000000000000000000001", "一") + "\n")
			_ = file.Close()
		}
	}()
	env := map[string]string{"WXNOTIFY_APPID": "wx0000000000000001"}
	inProcess(t, env, "send", "--json", pipe, "--dry-run").has(t, exitDone, "messages read: 1; refused 0")
}

// An openid that was copied from a list is masked: a suppression of it stops nothing.
func TestNamesThatMatchNothingAreRefused(t *testing.T) {
	t.Parallel()
	env := map[string]string{"WXNOTIFY_APPID": "wx0000000000000001", "WXNOTIFY_REDIS_URL": "redis://127.0.0.1:1/0"}
	for _, c := range [][]string{
		{"suppress", "add", "oSIM…02"}, {"messages", "--openid", "oSIM…02"}, {"messages", "--openid", "*********02"}, {"suppress", "add", "oSIM…02", "--lang", "zh"},
	} {
		want := "the openid is masked, as lists and pages show it: give the whole openid"
		if len(c) > 3 {
			want = "此 openid 是打码后的 openid"
		}
		inProcess(t, env, c...).has(t, exitUsage, want)
	}
	inProcess(t, env, "suppress", "add", "张三").has(t, exitUsage, "the openid is not an openid: use the openid exactly as WeChat returned it")
	inProcess(t, env, "suppress", "add", "oSIM6t0follower0000000000001", "--template", "订单支付成功通知").has(t, exitUsage, "--template is not a template id: copy")
	inProcess(t, env, "messages", "--errcode", "0").has(t, exitUsage, "--errcode: 0 is not an errcode")
	inProcess(t, env, "messages", "--template", "订单支付成功通知").has(t, exitUsage, "--template is not a template id: copy")
}
