package main

import (
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestLogKeysAreDocumented compares the keys of our log lines with the tables of both
// operations documents. Durations are numbers with their unit in the key.
func TestLogKeysAreDocumented(t *testing.T) {
	t.Parallel()
	keys := map[string]bool{"level": true, "ts": true, "msg": true, "error": true, "logger": true}
	for _, file := range sourceFiles(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			selector, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := selector.X.(*ast.Ident); !ok || pkg.Name != "zap" {
				return true
			}
			if literal, ok := call.Args[0].(*ast.BasicLit); ok {
				key, _ := strconv.Unquote(literal.Value)
				if slices.Contains([]string{"Duration", "Any", "Reflect", "Object"}, selector.Sel.Name) {
					t.Errorf("zap.%s(%q): log numbers and texts; a duration as <key>_ms", selector.Sel.Name, key)
				}
				keys[key] = true
			}
			return true
		})
	}
	if len(keys) < 30 {
		t.Errorf("found %d keys only", len(keys))
	}
	for file, heading := range map[string]string{"../../docs/operations.md": "## Log lines", "../../docs/operations.zh-CN.md": "## 日志"} {
		text, err := os.ReadFile(file)
		check(t, err)
		_, section, found := strings.Cut(string(text), heading+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		documented := map[string]bool{}
		for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(section, -1) {
			documented[row[1]] = true
			if !keys[row[1]] {
				t.Errorf("%s has the key %s, and no line does", file, row[1])
			}
		}
		for key := range keys {
			if !documented[key] {
				t.Errorf("%s (%v) does not have the key %s", file, found, key)
			}
		}
	}
}
