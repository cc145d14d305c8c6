package wechat_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"github.com/wxnotify/wxnotify/wechat"
)

func TestSecretNeverLeaks(t *testing.T) {
	t.Parallel()
	s := wechat.NewSecret(canarySecret)
	type hidden struct{ secret wechat.Secret }
	type open struct {
		Secret  wechat.Secret
		Pointer *wechat.Secret
		List    []wechat.Secret
		Map     map[string]wechat.Secret
		Any     any
	}
	o := open{s, &s, []wechat.Secret{s}, map[string]wechat.Secret{"k": s}, s}
	values := []any{s, &s, o, &o, hidden{s}, &hidden{s}, []hidden{{s}}, map[wechat.Secret]int{s: 1}, []any{s}}
	var texts []string
	for _, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%10.3s", "%-20v", "% x", "%c", "%w"} {
			texts = append(texts, fmt.Sprintf(verb, value))
		}
		data, _ := json.Marshal(value)
		texts = append(texts, string(data), fmt.Sprint(value))
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "secret", value)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "secret", value)
		_ = gob.NewEncoder(&b).Encode(value)
		_ = xml.NewEncoder(&b).Encode(value)
		_ = template.Must(template.New("").Parse("{{.}}")).Execute(&b, value)
		texts = append(texts, b.String())
	}
	for _, text := range texts {
		if strings.Contains(text, "canary") || strings.Contains(strings.ToLower(text), "63616e617279") {
			t.Errorf("leaked: %s", text)
		}
	}
	if got := fmt.Sprintf("%s|%v|%#v", s, &s, s); got != "[redacted]|[redacted]|[redacted]" {
		t.Errorf("printed as %q", got)
	}
	if data, err := json.Marshal(s); err != nil || string(data) != `"[redacted]"` {
		t.Errorf("JSON %s, %v", data, err)
	}
	if got := s.GoString() + s.String() + s.LogValue().String(); got != strings.Repeat("[redacted]", 3) {
		t.Errorf("got %q", got)
	}
}

func TestSecretRevealCompareFingerprint(t *testing.T) {
	t.Parallel()
	s := wechat.NewSecret(canarySecret)
	if s.Reveal() != canarySecret {
		t.Error("Reveal does not return the text")
	}
	if !s.Equal(wechat.NewSecret(canarySecret)) || s != wechat.NewSecret(canarySecret) || s.Equal(wechat.NewSecret("other")) || s.Equal(wechat.Secret{}) {
		t.Error("secrets compare by their text")
	}
	var zero wechat.Secret
	if !zero.IsZero() || zero.Reveal() != "" || wechat.NewSecret("") != zero || zero.Fingerprint() != "empty" || s.IsZero() {
		t.Error("the zero value is the empty secret")
	}
	// sha256("abc") = ba7816bf…
	if got := wechat.NewSecret("abc").Fingerprint(); got != "ba7816bf" {
		t.Errorf("Fingerprint = %s", got)
	}
}

func TestSecretFromConfiguration(t *testing.T) {
	t.Parallel()
	var cfg struct {
		Secret wechat.Secret `json:"Secret"`
	}
	if err := json.Unmarshal([]byte(`{"Secret":"abc"}`), &cfg); err != nil || cfg.Secret.Reveal() != "abc" {
		t.Errorf("got %q, %v", cfg.Secret.Reveal(), err)
	}
	if err := json.Unmarshal([]byte(`{"Secret":"[redacted]"}`), &cfg); err == nil || cfg.Secret.Reveal() != "abc" {
		t.Error("the placeholder of a printed configuration was accepted as a secret")
	}
}
