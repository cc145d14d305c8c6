package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// modulePath is what `go run` takes inside the module, whatever the directory.
const modulePath = "github.com/wxnotify/wxnotify/cmd/wxnotify"

// self is the command that starts this program again from the same directory, for
// lines that are printed to be run.
func (a *app) self() string { return selfOf(a.Program) }

// selfOf is self for a program that was started as argv0.
func selfOf(argv0 string) string {
	path := filepath.ToSlash(argv0)
	switch {
	case argv0 == "":
		return "wxnotify"
	case strings.Contains(path, "/go-build") && strings.Contains(path, "/exe/"): // go run
		if _, err := os.Stat(filepath.Join("cmd", "wxnotify", "main.go")); err == nil {
			return "go run ./cmd/wxnotify"
		}
		return "go run " + modulePath
	}
	return shellQuote(argv0)
}

// shellQuote writes s as one word of a POSIX shell.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r))
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// hintFollower is the simulated follower of printed examples.
const hintFollower = "oSIM6t0follower0000000000001"

// labResult are the flags that fill the simulator's template of lab results.
func labResult() string {
	return fmt.Sprintf("--template %s --data thing1=张三 --data thing2=血常规 --data character_string3=LAB1001 --data time4='%s'",
		wechattest.TemplateLabResult, time.Now().Format("2006-01-02 15:04"))
}

// The lengths of secrets that are made for one run: what WeChat's console makes.
const (
	tokenLength     = 32
	aesKeyLength    = 43
	enrollKeyLength = 52
)

// randomText is a secret of n letters and digits.
func randomText(n int) string {
	var text string
	for len(text) < n {
		text += rand.Text()
	}
	return text[:n]
}
