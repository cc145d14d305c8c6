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
)

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
	field := regexp.MustCompile(`\b(?:Enrollment|HandOff|Authorize|CallbackConfig|Config|config)\.[A-Z]\w*\[?`)
	found := 0
	for _, file := range sourceFiles(t) {
		if file.Name.Name == "main" {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, _ := strconv.Unquote(literal.Value)
			for _, name := range field.FindAllString(text, -1) {
				found++
				if goNames[name] == "" && !ours[name] {
					t.Errorf("an error names %s: add its setting to goNames", name)
				}
			}
			return true
		})
	}
	if found < 40 {
		t.Errorf("found %d names only", found)
	}
	for text, want := range map[string]string{
		"wechat: CallbackConfig.AESKeys[0] is not 43":            "wechat: WXNOTIFY_ENCODING_AES_KEY or WXNOTIFY_ENCODING_AES_KEY_PREVIOUS is not 43",
		"producer: Enrollment.PublicURL is not an address":       "producer: WXNOTIFY_PUBLIC_URL is not an address",
		"operators' listener: config.Logins[0]: the password":    "operators' listener: WXNOTIFY_OPS_LOGIN: the password",
		"worker: account wx1: queue: Concurrency: use 1 to 1000": "worker: account wx1: WXNOTIFY_CONCURRENCY: use 1 to 1000",
		"enroll: Config.Accounts[1].AppID is required":           "enroll: accounts is required",
		"a sentence about Config.":                               "a sentence about Config.",
	} {
		if got := withSettings(text); got != want {
			t.Errorf("%q reads %q, want %q", text, got, want)
		}
	}
}

// Settings that a package refuses although the table of settings accepts them.
func TestSettingsRefusedByAPackageAreNamed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, value, want string }{
		{"WXNOTIFY_WECHAT_BASE_URL", "http://127.0.0.1:1/#x", "WXNOTIFY_WECHAT_BASE_URL must have scheme"},
		{"WXNOTIFY_CONCURRENCY", "5000", "WXNOTIFY_CONCURRENCY: use 1 to 1000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, redistest.Start(t).URL())
			r := inProcess(t, w.with(tt.name, tt.value), "worker")
			if r.code == 0 || !strings.Contains(r.stderr, tt.want) || goName.MatchString(r.stderr) {
				t.Errorf("exit %d:\n%s", r.code, r.stderr)
			}
		})
	}
}
