package console

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/wxnotify/wxnotify/wechat"
)

// spoken are the names of functions and fields whose text is shown to operators.
func spoken() []string {
	return []string{"text", "wrong", "add", "ask", "askAll", "warning", "button"}
}

// textsOf lists every English text of pages and code.
func textsOf(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, text := range notices() {
		out = append(out, text)
	}
	pages, err := fs.Glob(files, "pages/*.html")
	if err != nil || len(pages) < 10 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, name := range pages {
		page, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`\bt ("[^"]*")`).FindAllStringSubmatch(string(page), -1) {
			text, err := strconv.Unquote(found[1])
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, text)
		}
	}
	parsed, err := parser.ParseDir(token.NewFileSet(), ".", func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, 0) //nolint:staticcheck // no build tags here
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range parsed["console"].Files {
		ast.Inspect(file, func(n ast.Node) bool {
			if text, ok := spokenBy(n); ok {
				out = append(out, text)
			}
			return true
		})
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// spokenBy is the text of a call or a field of a literal.
func spokenBy(n ast.Node) (string, bool) {
	literal := func(e ast.Expr) (string, bool) {
		l, ok := e.(*ast.BasicLit)
		if !ok || l.Kind != token.STRING {
			return "", false
		}
		text, err := strconv.Unquote(l.Value)
		return text, err == nil && strings.IndexFunc(text, unicode.IsLetter) >= 0
	}
	switch n := n.(type) {
	case *ast.CallExpr:
		name := ""
		switch f := n.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
		}
		if !slices.Contains(spoken(), name) {
			return "", false
		}
		for _, arg := range n.Args[:min(2, len(n.Args))] {
			if text, ok := literal(arg); ok {
				return text, true
			}
		}
	case *ast.KeyValueExpr:
		if key, ok := n.Key.(*ast.Ident); ok && slices.Contains(spoken(), key.Name) {
			return literal(n.Value)
		}
	}
	return "", false
}

// sameInBoth are texts without words of English.
func sameInBoth() []string { return []string{"%s", "openid", "errcode"} }

func TestEveryTextIsThereInChinese(t *testing.T) {
	t.Parallel()
	texts, table := textsOf(t), wordsOf()[wechat.Chinese]
	if len(texts) < 150 {
		t.Errorf("found %d texts only", len(texts))
	}
	verbs := regexp.MustCompile(`%[sd]`)
	for _, text := range texts {
		chinese, known := table[text]
		switch {
		case slices.Contains(sameInBoth(), text):
		case !known:
			t.Errorf("no Chinese: %q", text)
		case !strings.ContainsFunc(chinese, func(r rune) bool { return unicode.Is(unicode.Han, r) }):
			t.Errorf("%q is %q in Chinese", text, chinese)
		case !slices.Equal(verbs.FindAllString(text, -1), verbs.FindAllString(chinese, -1)):
			t.Errorf("%q and %q take different arguments", text, chinese)
		}
	}
	for text := range table {
		if !slices.Contains(texts, text) {
			t.Errorf("the table has %q, and no page does", text)
		}
	}
}
