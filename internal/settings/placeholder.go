package settings

import (
	"regexp"
	"slices"
	"strings"

	"github.com/wxnotify/wxnotify/wechat"
)

// placeholderWords are in the placeholders of our examples and of others, written
// without what is neither letter nor digit.
var placeholderWords = regexp.MustCompile(`change(me|it|this|now)|replace(me|it|this|with)|placeholder|example|simulatoronly|` +
	`(your|my|the)(own)?(token|secret|password|key|appsecret|enrollkey)|fillme|fillin|insertyour|pastehere|todotodo|` +
	`opensslrand|bytesormore`)

// reference matches what a shell, Compose, Helm, Ansible or a manual would have replaced:
// ${NAME:-default}, $(command), $NAME, {{ name }}, %NAME%, <name>.
var reference = regexp.MustCompile(`^(\$\{[^}]*\}|\$\([^)]*\)|\$[A-Za-z_]\w*|\{\{.*\}\}|%\w+%|<[^>]*>)+$`)

// guessed are secrets that are tried first.
var guessed = []string{ //nolint:gochecknoglobals // never changed
	"admin", "administrator", "changed", "default", "demo", "letmein", "operator", "ops", "password", "passwd", "pass", "qwerty", "root", "secret", "spamtest", "test", "token", "user", "wechat", "weixin", "wxnotify",
}

// lookalikes are the characters that people write in place of letters.
var lookalikes = strings.NewReplacer( //nolint:gochecknoglobals // never changed
	"@", "a", "4", "a", "3", "e", "1", "i", "!", "i", "0", "o", "$", "s", "5", "s")

var notLetters = regexp.MustCompile(`[^a-z0-9]`)

// isPlaceholder recognises secrets that protect nothing, since they stand in an
// example or are the first that a guess tries: change-me and its like, admin:admin.
func isPlaceholder(s wechat.Secret) bool {
	text := strings.ToLower(s.Reveal())
	if user, password, isLogin := strings.Cut(text, ":"); isLogin {
		if password == user || isRow(wechat.NewSecret(password)) {
			return true
		}
		text = password
	}
	return placeholderWords.MatchString(notLetters.ReplaceAllString(text, "")) || isGuessed(text) || isGuessed(lookalikes.Replace(text))
}

// isGuessed reports whether text, in lower case, is a word of guessed, once or several
// times, with digits and signs around it.
func isGuessed(text string) bool {
	word := strings.Trim(notLetters.ReplaceAllString(text, ""), "0123456789")
	return slices.Contains(guessed, word[:unit(word)])
}

// isReference recognises a value that is the name of a secret and not the secret.
func isReference(s wechat.Secret) bool {
	text := strings.TrimSpace(s.Reveal())
	if _, password, isLogin := strings.Cut(text, ":"); isLogin && reference.MatchString(password) {
		return true
	}
	return reference.MatchString(text)
}

// isRow reports whether most characters equal, follow or precede the one before them, as
// in xxxxxx, 0123456789abcdef and 987654.
func isRow(s wechat.Secret) bool {
	text, rising, falling := s.Reveal(), 0, 0
	for i := range max(len(text)-1, 0) {
		if text[i+1]-text[i] <= 1 {
			rising++
		}
		if text[i]-text[i+1] <= 1 {
			falling++
		}
	}
	return len(text) >= 6 && max(rising, falling)*5 >= 4*(len(text)-1)
}

// isRepetition reports whether a part of the text is repeated three times or more, as in
// abcabcabc.
func isRepetition(s wechat.Secret) bool {
	text := s.Reveal()
	return len(text) >= 6 && unit(text)*3 <= len(text)
}

// unit is the length of the shortest part whose repetition is text; the last one may be
// cut.
func unit(text string) int {
	for n := 1; n < len(text); n++ {
		if text[n:] == text[:len(text)-n] {
			return n
		}
	}
	return len(text)
}
