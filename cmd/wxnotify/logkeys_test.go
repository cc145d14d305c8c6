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

// TestBothOperationsDocumentsSayTheSame compares what must not differ between the
// languages: headings, rows, settings, commands, metrics, codes.
func TestBothOperationsDocumentsSayTheSame(t *testing.T) {
	t.Parallel()
	shape := func(file string) (headings []string, rows int, terms []string) {
		text, err := os.ReadFile(file)
		check(t, err)
		for line := range strings.Lines(string(text)) {
			switch {
			case strings.HasPrefix(line, "#"):
				headings = append(headings, strings.Fields(line)[0])
			case strings.HasPrefix(line, "|"):
				rows++
			}
		}
		seen := map[string]bool{}
		for _, term := range regexp.MustCompile("`[^`\n]+`|\\bE-[A-Z]+\\b|\\b\\d{5}\\b").FindAllString(strings.ReplaceAll(string(text), "```", ""), -1) {
			if !regexp.MustCompile(`\p{Han}`).MatchString(term) {
				seen[term] = true
			}
		}
		for term := range seen {
			terms = append(terms, term)
		}
		slices.Sort(terms)
		return headings, rows, terms
	}
	headings, rows, terms := shape("../../docs/operations.md")
	zhHeadings, zhRows, zhTerms := shape("../../docs/operations.zh-CN.md")
	if !slices.Equal(headings, zhHeadings) || rows != zhRows {
		t.Errorf("%d headings and %d rows in English, %d and %d in Chinese", len(headings), rows, len(zhHeadings), zhRows)
	}
	for _, term := range terms {
		if !slices.Contains(zhTerms, term) {
			t.Errorf("%s is in the English document only", term)
		}
	}
	for _, term := range zhTerms {
		if !slices.Contains(terms, term) {
			t.Errorf("%s is in the Chinese document only", term)
		}
	}
}
