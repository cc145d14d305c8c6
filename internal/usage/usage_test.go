package usage_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/usage"
)

func TestWrongUsageIsFoundBehindOtherErrors(t *testing.T) {
	t.Parallel()
	err := usage.Wrap(fmt.Errorf("--json: %w", io.ErrUnexpectedEOF))
	if err.Error() != "--json: unexpected EOF" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v has lost its text or its cause", err)
	}
	if !usage.Is(err) || !usage.Is(errors.Join(io.EOF, fmt.Errorf("account wx1: %w", err))) {
		t.Error("wrong usage is not found")
	}
	if usage.Is(nil) || usage.Is(io.EOF) {
		t.Error("another error is taken for wrong usage")
	}
	if err := usage.Errorf("rate: %w", io.EOF); !usage.Is(err) || !errors.Is(err, io.EOF) || err.Error() != "rate: EOF" {
		t.Errorf("Errorf: %v", err)
	}
}

func TestQuoteShowsNothingThatMayBeASecret(t *testing.T) {
	t.Parallel()
	for _, shown := range []string{"", "fast", "a\nb", "50 # per second", "0123456789012345678901", "r3dis", "shortwords"} {
		if got := usage.Quote(shown); !strings.HasPrefix(got, `"`) {
			t.Errorf("%q reads %s", shown, got)
		}
	}
	for _, secret := range []string{"hunter22", "admin:S3cret", strings.Repeat("x", 25), "密码是一二三四五六7"} {
		if got := usage.Quote(secret); got != fmt.Sprintf("a text of %d bytes", len(secret)) {
			t.Errorf("%q reads %s", secret, got)
		}
	}
}

func TestNearestTakesTheFewestChanges(t *testing.T) {
	t.Parallel()
	names := slices.Values([]string{"rate", "keep", "appid", "appsecret", "accounts"})
	for typed, want := range map[string]string{"raet": "rate", "app_secret": "appsecret", "account": "accounts", "kep": "keep", "apid": "appid", "rate": "rate"} {
		if got := usage.Nearest(typed, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", typed, got, want)
		}
	}
	if got := usage.Nearest("rate", slices.Values([]string(nil))); got != "" {
		t.Errorf("of no names: %q", got)
	}
}
