package main

import (
	"runtime/debug"
	"testing"
)

// TestVersionStampedByTheLinkerWins: an image is built without a git repository, so
// that the go command knows no version.
func TestVersionStampedByTheLinkerWins(t *testing.T) {
	t.Parallel()
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: "abc123"}}
	for name, tt := range map[string]struct {
		stamped           string
		info              debug.BuildInfo
		version, revision string
	}{
		"nothing known":        {"", debug.BuildInfo{}, "development", ""},
		"a work tree":          {"", debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: vcs}, "development", "abc123"},
		"go install":           {"", debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}}, "v0.1.0", ""},
		"an image":             {"v0.2.0", debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "v0.2.0", ""},
		"a release in a clone": {"v0.2.0", debug.BuildInfo{Main: debug.Module{Version: "v0.1.0+dirty"}, Settings: vcs}, "v0.2.0", "abc123"},
	} {
		if version, revision := buildOf(tt.stamped, &tt.info); version != tt.version || revision != tt.revision {
			t.Errorf("%s: %s %s", name, version, revision)
		}
	}
}
