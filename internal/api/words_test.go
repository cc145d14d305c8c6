package api_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/wxnotify/wxnotify/internal/api"
)

func hasHan(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

// Every text of a problem or of a fault that the code has is in the table, with the
// same verbs of fmt; those of webhooks, too.
func TestEveryTextOfTheAPIIsThereInChinese(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	must(t, err)
	webhooks, err := filepath.Glob("../webhook/*.go")
	must(t, err)
	files = append(files, webhooks...)
	argument := map[string]int{"problemf": 2, "newFault": 2, "checkEntries": 2, "InvalidError": 1, "fault": 1}
	found := 0
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		must(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			var fun ast.Expr
			var args []ast.Expr
			switch n := n.(type) {
			case *ast.ReturnStmt: // code, detail
				if len(n.Results) == 2 {
					fun, args = ast.NewIdent("fault"), n.Results
				}
			case *ast.CallExpr:
				fun, args = n.Fun, n.Args
			case *ast.CompositeLit:
				fun, args = n.Type, n.Elts
			}
			name, ok := fun.(*ast.Ident)
			if !ok || argument[name.Name] == 0 || len(args) <= argument[name.Name] {
				return true
			}
			literal, ok := args[argument[name.Name]].(*ast.BasicLit)
			if !ok {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil || text == "" {
				return true
			}
			found++
			zh := api.Chinese(text)
			if !hasHan(zh) || strings.Count(zh, "%") != strings.Count(text, "%") {
				t.Errorf("%q reads %q in Chinese", text, zh)
			}
			return true
		})
	}
	if found < 35 {
		t.Errorf("found %d texts only", found)
	}
}

func TestDetailsAndFaultsSpeakTheLanguageOfTheCaller(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, appid, nil)
	zh := header{"Accept-Language": "zh-CN"}
	want(t, s.call(t, "POST", "/v1/messages", secret, body), http.StatusAccepted)
	refused := strings.Replace(message("m2"), `"tea"`, `""`, 1)
	for name, a := range map[string]answer{
		"refused":   s.call(t, "POST", "/v1/messages", secret, refused, zh),
		"many":      s.call(t, "POST", "/v1/messages", secret, `{"messages":[`+refused+`]}`, zh),
		"reused":    s.call(t, "POST", "/v1/messages", secret, strings.Replace(body, "tea", "milk", 1), zh),
		"validate":  s.call(t, "POST", "/v1/messages:validate", secret, refused, zh),
		"not found": s.call(t, "GET", "/v1/messages/none", secret, "", zh),
		"no JSON":   s.call(t, "POST", "/v1/messages", secret, `[`, zh),
		"a field":   s.call(t, "POST", "/v1/enroll-links", secret, `{"usr":"p"}`, zh),
		"no path":   s.call(t, "GET", "/v1/nothing", secret, "", zh),
	} {
		text := string(a.Body)
		for rest := text; ; {
			_, after, ok := strings.Cut(rest, `"detail":"`)
			if !ok {
				break
			}
			detail, next, _ := strings.Cut(after, `"`)
			if rest = next; !hasHan(detail) {
				t.Errorf("%s: the detail %q is not Chinese: %s", name, detail, text)
			}
		}
		if !strings.Contains(text, `"detail"`) {
			t.Errorf("%s: %s", name, text)
		}
	}
	en := s.call(t, "POST", "/v1/messages", secret, `{"messages":[`+refused+`]}`)
	if hasHan(string(en.Body)) || !strings.Contains(string(en.Body), `"title":"The message is refused"`) {
		t.Errorf("in English: %s", en.Body)
	}
}
