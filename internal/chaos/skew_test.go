package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Our packages and asynq have the wrong clock, in the build alone.
func TestTheSkewedBuildReadsNoOtherClock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	texts, modfile, err := skew(t.Context(), dir)
	must(t, err)
	for path, text := range texts {
		if clock := !strings.HasSuffix(path, "/skewed.go"); clock && strings.Contains(text, "time.Now()") {
			t.Errorf("%s reads another clock", path)
		}
	}
	paths := slices.Collect(maps.Keys(texts))
	for _, part := range []string{"/internal/queue/", "/internal/ledger/", "/worker/", filepath.Join(dir, "asynq/internal/timeutil")} {
		if !slices.ContainsFunc(paths, func(p string) bool { return strings.Contains(p, part) }) {
			t.Errorf("no file of %s has the wrong clock", part)
		}
	}
	if text, err := os.ReadFile(modfile); err != nil || !strings.Contains(string(text), "replace "+asynqModule) {
		t.Errorf("go.mod does not take the copy of asynq: %v", err)
	}
}
