package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/settings"
)

// goField matches a field of ours in the text of an error, with the bracket of an index.
var goField = regexp.MustCompile(`\b(?:Enrollment|HandOff|Authorize|CallbackConfig|Config|config)\.[A-Z]\w*\[?`)

// sourceFiles parses our packages, without tests and without what only tests use.
func sourceFiles(t *testing.T) []*ast.File {
	t.Helper()
	var files []*ast.File
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{"bench", "chaos", "wechattest", "redistest", "browsertest", "testdata", ".git", "docs"}, d.Name()) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err == nil {
			files = append(files, file)
		}
		return err
	})
	check(t, err)
	return files
}

// TestErrorsNameSettingsAndNotGoFields finds every field of ours that an error names.
// Who adds one adds the setting that an operator knows it by, or says here that no
// setting leads to it.
func TestErrorsNameSettingsAndNotGoFields(t *testing.T) {
	t.Parallel()
	ours := map[string]bool{ // set by our own code alone
		"Config.Key": true, "Config.MaxBlock": true, "Config.Owner": true, "Config.Timeout": true, "Config.Redis": true,
		"Config.OnChange": true, "Config.HTTPClient": true,
		"CallbackConfig.Window": true, "Authorize.RedirectURI": true, "Authorize.Scope": true, "Authorize.State": true,
		"HandOff.Data": true, "config.Redis": true, "config.Checks[": true,
	}
	found := 0
	for _, file := range sourceFiles(t) {
		if slices.Contains([]string{"main", "settings"}, file.Name.Name) {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, _ := strconv.Unquote(literal.Value)
			for _, name := range goField.FindAllString(text, -1) {
				found++
				shown := strings.Replace(name, "[", "[0]", 1)
				if settings.WithNames(shown) == shown && !ours[name] {
					t.Errorf("an error names %s: add its setting to goNames", name)
				}
			}
			return true
		})
	}
	if found < 40 {
		t.Errorf("found %d names only", found)
	}
}

// Settings that a package refuses although the table of settings accepts them.
func TestSettingsRefusedByAPackageAreNamed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, value, want string }{
		{"WXNOTIFY_WECHAT_BASE_URL", "http://127.0.0.1:1/#x", "WXNOTIFY_WECHAT_BASE_URL must have scheme"},
		{"WXNOTIFY_CONCURRENCY", "5000", "WXNOTIFY_CONCURRENCY must be from 1 to 1000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, redistest.Start(t).URL())
			r := inProcess(t, w.with(tt.name, tt.value), "worker")
			if r.code == 0 || !strings.Contains(r.stderr, tt.want) || goField.MatchString(r.stderr) {
				t.Errorf("exit %d:\n%s", r.code, r.stderr)
			}
		})
	}
}
