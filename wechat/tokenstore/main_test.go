package tokenstore_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is also the main of the processes that the fleet tests start.
func TestMain(m *testing.M) {
	if config := os.Getenv(memberEnv); config != "" {
		if err := memberMain(config, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func contains(text, part string) bool { return strings.Contains(text, part) }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
