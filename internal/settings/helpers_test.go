package settings_test

import (
	"os"
	"path/filepath"
	"testing"
)

const (
	canarySecret = "c0ffee0decade0c0ffee0decade0beef"            // has the form of an AppSecret
	canaryAESKey = "canary0Jd8sLq0ZpW7xVt2Nb5Mc9RfYh1Gu6TaEoQiS" // 43 letters and digits
)

// environ makes an environment of names and values.
func environ(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// write puts text into a file of the test's own directory.
func write(tb testing.TB, name, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
