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
// example or are the first that a guess tries: change-me and its like, admin:admin.
func isPlaceholder(s wechat.Secret) bool {
	text := strings.ToLower(s.Reveal())
	if _, password, isLogin := strings.Cut(text, ":"); isLogin {
		text = password
	}
	letters := regexp.MustCompile(`[^a-z0-9]`).ReplaceAllString(text, "")
	word := strings.TrimRight(letters, "0123456789")
	return placeholderWords.MatchString(letters) || slices.Contains(guessed, word)
}

// isRow reports whether most characters equal or follow the one before them, as in
// xxxxxx and 0123456789abcdef.
func isRow(s wechat.Secret) bool {
	text, steps := s.Reveal(), 0
	for i := range max(len(text)-1, 0) {
		if text[i+1]-text[i] <= 1 {
			steps++
		}
	}
	return len(text) >= 6 && steps*5 >= 4*(len(text)-1)
}
