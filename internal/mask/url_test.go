package mask_test

import (
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/wxnotify/wxnotify/internal/mask"
)

func TestURLShowsTheHostAlone(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://user:pw@shop.example:8443/13812345678?t=1": "https://shop.example:8443/…",
		"/13812345678": "…", "": "…", "https://a b/": "…",
	} {
		if got := mask.URL(address); got != want {
			t.Errorf("%q is shown as %q, want %q", address, got, want)
		}
	}
}

func TestErrorsOfCallsShowNoAddress(t *testing.T) {
	t.Parallel()
	cause := errors.New("refused")
	within := &url.Error{Op: "Post", URL: "https://x/?access_token=SECRET", Err: &url.Error{Op: "Get", URL: "https://y/?o=SECRET", Err: cause}}
	for _, err := range []error{within, fmt.Errorf("call: %w", within), cause} {
		if got := mask.WithoutURL(err); !errors.Is(got, cause) || got.Error() != "refused" {
			t.Errorf("%v", got)
		}
	}
	if mask.WithoutURL(nil) != nil {
		t.Error("nil is an error")
	}
}
