package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wxnotify/wxnotify/internal/redistest"
)

// everyCommand calls do with each command of the program.
func everyCommand(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, child := range cmd.Commands() {
		everyCommand(child, do)
	}
}

// TestEveryCommandRefusesWhatItDoesNotKnow: an unknown word or flag is an error with exit
// code 2 and the nearest name, for each command alike.
func TestEveryCommandRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("one goroutine: nothing for the race detector, and go test runs it whole")
	}
	everyCommand((&app{}).command(), func(cmd *cobra.Command) {
		path := strings.Fields(cmd.CommandPath())[1:]
		if cmd.Name() == "help" || strings.HasPrefix(cmd.Name(), "__") {
			return
		}
		inProcess(t, nil, append(slices.Clone(path), "--langg", "zh")...).has(t, 2, "unknown flag --langg; the nearest is --lang")
		if r := inProcess(t, nil, append(slices.Clone(path), "--lang", "zh", "no-such-word", "x", "y", "z", "-o", "xml")...); r.code != 2 || r.stdout != "" {
			t.Errorf("%s no-such-word: exit %d\n%s%s", path, r.code, r.stdout, r.stderr)
		}
		if cmd.Example+cmd.Long+cmd.Short != "" && strings.Contains(cmd.UsageString(), "--reason status") {
			t.Errorf("%s: a quoted word is shown as a type", path)
		}
	})
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"help", "sned"}, `unknown command "sned"; did you mean send?`},
		{[]string{"help", "queues", "puase"}, "did you mean pause?"},
		{[]string{"help", "send", "x"}, `wxnotify send has no subcommand "x"`},
		{[]string{"completion", "bsh"}, "did you mean bash or fish or zsh?"},
		{[]string{"suppress", "lits"}, "did you mean lift or list?"},
		{[]string{"dead", "rety", "x"}, "did you mean retry?"},
		{[]string{"man"}, "write: wxnotify man FOLDER"},
		{[]string{"man", "/dev/null/x"}, "/dev/null"},
	} {
		inProcess(t, nil, row.args...).has(t, 2, row.want)
	}
	inProcess(t, nil, "help", "queues", "pause").has(t, 0, "Stop sending a class")
	inProcess(t, nil, "help").has(t, 0, "completion", "Exit codes")
}

// TestAnEmptyFlagIsRefused: a search by a script's empty variable would find everything.
func TestAnEmptyFlagIsRefused(t *testing.T) {
	t.Parallel()
	everyCommand((&app{}).command(), func(cmd *cobra.Command) {
		var args []string
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if kind := f.Value.Type(); kind == "string" || kind == "strings" {
				args = append(args, "--"+f.Name+"=")
			}
		})
		if cmd.DisableFlagParsing || len(args) == 0 {
			return
		}
		check(t, cmd.ParseFlags(args))
		err := emptyFlags(cmd.Flags())
		for _, arg := range args {
			if err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(arg, "=")+" is empty") {
				t.Errorf("%s %s is taken", cmd.CommandPath(), arg)
			}
		}
	})
	env := map[string]string{"WXNOTIFY_APPID": "wx1"}
	inProcess(t, env, "messages", "--user", "", "--state", "").has(t, 2, "--user is empty: give a value, or leave it out", "--state is empty")
	inProcess(t, env, "messages", "--since", "2h", "--until", "3h").has(t, 2, "--until: is not later than --since")
}

// TestUsageShowsOwnFlagsFirstWithinATerminal: each flag once, the settings behind the flags
// that the command alone has, in lines of at most 80 characters.
func TestUsageShowsOwnFlagsFirstWithinATerminal(t *testing.T) {
	t.Parallel()
	everyCommand((&app{}).command(), func(cmd *cobra.Command) {
		cmd.InitDefaultHelpFlag()
		text := cmd.UsageString()
		_, flags, _ := strings.Cut(text, "\nFlags:\n")
		for line := range strings.Lines(flags) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > usageWidth && strings.HasPrefix(line, "  ") && len(strings.Fields(line)) > 1 {
				t.Errorf("%s: a line of %d characters: %s", cmd.CommandPath(), n, line)
			}
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if n := strings.Count(text, "--"+f.Name+" ") + strings.Count(text, "--"+f.Name+"["); n == 0 && !f.Hidden {
				t.Errorf("%s: --%s is not shown", cmd.CommandPath(), f.Name)
			}
		})
	})
	own, settings, _ := strings.Cut(inProcess(t, nil, "messages", "--help").stdout, "\nSettings, ")
	if !strings.Contains(own, "--errcode int") || strings.Contains(own, "--redis-url") || !strings.Contains(settings, "--redis-url") || strings.Contains(settings, "--errcode") {
		t.Errorf("%s\n---\n%s", own, settings)
	}
}

func TestCompletionOfShells(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		inProcess(t, nil, "completion", shell).has(t, 0, "wxnotify")
	}
	for want, args := range map[string][]string{
		"critical":  {"send", "--class", ""},
		"json":      {"queues", "--output", ""},
		"gb18030":   {"send", "--encoding", "g"},
		"bulk":      {"queues", "pause", ""},
		"classic":   {"worker", "--token-mode", ""},
		"retry":     {"help", "dead", "r"},
		"--account": {"quota", "--acc"},
	} {
		inProcess(t, nil, append([]string{"__complete"}, args...)...).has(t, 0, want)
	}
}

func TestManualPages(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "man", "man1")
	inProcess(t, nil, "man", folder).has(t, 0, "written to")
	for name, want := range map[string]string{
		"wxnotify.1": "2 wrong usage or configuration", "wxnotify-queues-pause.1": "reason", "wxnotify-send.1": "idempotency key",
	} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, want %q:\n%s", name, err, want, text)
		}
	}
}

// TestCallbackURLIsPrintedAtStart: what an operator enters in WeChat's console.
func TestCallbackURLIsPrintedAtStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, redistest.Start(t).URL())
	env := w.with("WXNOTIFY_CALLBACK_TOKEN", "tokenTokenToken16", "WXNOTIFY_PUBLIC_ADDR", "127.0.0.1:0")
	for _, command := range []string{"serve", "enroll"} {
		p := start(t, env, command)
		p.says(t, `"callback_url":"https://<your host>/callback/wxsim0000000000001","mode":"plain"`)
		p.kill()
		p = start(t, env, command, "--public-url", "https://n.example.com/wx/")
		p.says(t, `"callback_url":"https://n.example.com/wx/callback/wxsim0000000000001"`)
		p.kill()
	}
}

// A duration below zero is refused by every command that takes one: taken as it is, it
// would suppress for good, or wait for nothing.
func TestDurationsBelowZeroAreRefused(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"WXNOTIFY_APPID": "wxa", "WXNOTIFY_REDIS_URL": "redis://127.0.0.1:1", "WXNOTIFY_PUBLIC_URL": "https://n.example", "WXNOTIFY_ENROLL_KEY": "5f1d0c9a7be34428d1a6f0937c25be81402f6e9a",
	}
	for flag, args := range map[string][]string{
		"--for":      {"suppress", "add", "oABCDEFGHIJKLMNOPQRSTUVWXYZ12", "--reason", "x", "--for", "-1h"},
		"--expires":  {"enroll", "link", "--user", "p", "--expires", "-1h"},
		"--wait-for": {"send", "--to", "oABCDEFGHIJKLMNOPQRSTUVWXYZ12", "--template", "T", "--data", "thing1=x", "--wait", "--wait-for", "-1s"},
		"--overlap":  {"api", "keys", "rotate", "k", "--overlap", "-1h"},
		"--timeout":  {"healthcheck", "--timeout", "-5s"},
		"--latency":  {"simulate", "--latency", "-5s"},
	} {
		inProcess(t, env, args...).has(t, 2, flag+": -", "is below zero")
	}
	inProcess(t, env, "enroll", "link", "--user", "p", "--expires", "0s").has(t, 2, "--expires: 0s is no time")
	inProcess(t, env, "enroll", "link", "--user", "p").has(t, 0, "https://n.example/enroll/wxa")
}
