package settings_test

import (
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

// TestASecretInThePlaceOfItsFileIsNotShown: a person who sets X_FILE to the value of X reads
// neither in a log nor on a screen what it was.
func TestASecretInThePlaceOfItsFileIsNotShown(t *testing.T) {
	t.Parallel()
	for _, s := range settings.Table() {
		if !s.Secret() {
			continue
		}
		value := canarySecret
		if s.Name == "redis_url" {
			value = "redis://:" + canarySecret + "@127.0.0.1:6379/0"
		}
		for name, env := range map[string]map[string]string{
			"a value":       {s.Env() + "_FILE": value},
			"an empty file": {s.Env() + "_FILE": testutil.File(t, "secret", "\r\n")},
		} {
			r := checked(t, env)
			if r.accepted || !strings.Contains(r.text, s.Env()+"_FILE: the") || strings.Contains(r.text, canarySecret) {
				t.Errorf("%s in %s_FILE: accepted %t:\n%s", name, s.Env(), r.accepted, r.text)
			}
		}
	}
}
