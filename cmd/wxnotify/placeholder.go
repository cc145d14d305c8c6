package main

import (
	"regexp"
	"slices"
	"strings"

	"github.com/wxnotify/wxnotify/wechat"
)

// placeholderWords are in the placeholders of our examples and of others, written
// without what is neither letter nor digit.
var placeholderWords = regexp.MustCompile(`change(me|it|this|now)|replace(me|it|this|with)|placeholder|example|simulatoronly|` +
	`(your|my|the)(own)?(token|secret|password|key|appsecret|enrollkey)|fillme|fillin|insertyour|pastehere|todotodo`)

// guessed are secrets that are tried first.
var guessed = []string{ //nolint:gochecknoglobals // never changed
	"admin", "administrator", "changed", "default", "demo", "letmein", "password", "passwd", "pass", "qwerty", "root", "secret", "test", "token", "user", "wechat", "weixin", "wxnotify",
}

// isPlaceholder recognises secrets that protect nothing, since they stand in an
// example or are the first that anybody tries: change-me and its like, admin:admin,
// one character or 0123456789abcdef again and again.
func isPlaceholder(s wechat.Secret) bool {
	text := strings.ToLower(s.Reveal())
	if _, password, isLogin := strings.Cut(text, ":"); isLogin {
		text = password
	}
	letters := regexp.MustCompile(`[^a-z0-9]`).ReplaceAllString(text, "")
	if text != "" && letters == "" {
		return !varied(text)
	}
	return letters != "" && (placeholderWords.MatchString(letters) || slices.Contains(guessed, strings.TrimRight(letters, "0123456789")) || !varied(letters))
}

// varied reports whether text is neither one character nor a row of characters that
// follow each other: at least a fifth of its steps lead elsewhere.
func varied(text string) bool {
	if len(text) < 6 { // too few steps to tell
		return true
	}
	rows := 0
	for i := range len(text) - 1 {
		if step := text[i+1] - text[i]; step <= 1 {
			rows++
		}
	}
	return rows*5 < 4*(len(text)-1)
}
