package main

import (
	"context"
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/testutil"
)

var update = flag.Bool("update", false, "write the generated parts of docs/design.md")

const (
	designPath    = root + "docs/design.md"
	packagesBegin = "<!-- packages -->\n"
	packagesEnd   = "<!-- /packages -->"
)

// TestGoldenDesignPackages keeps the table of packages and imports equal to the code.
func TestGoldenDesignPackages(t *testing.T) {
	t.Parallel()
	before, rest, opened := strings.Cut(document(t, "docs/design.md"), packagesBegin)
	_, after, closed := strings.Cut(rest, packagesEnd)
	if !opened || !closed {
		t.Fatalf("docs/design.md has no %s … %s", strings.TrimSpace(packagesBegin), packagesEnd)
	}
	testutil.Golden(t, *update, designPath, before+packagesBegin+packageTable(t)+packagesEnd+after)
}

// packageTable has a row for each package that is not for tests or measurements alone.
func packageTable(t *testing.T) string {
	t.Helper()
	type pkg struct {
		synopsis     string
		ours, others []string
	}
	packages := map[string]*pkg{}
	check(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{"bench", "chaos", "redistest", "browsertest", "testutil", "testdata", "examples", ".git", ".ci", "docs", "deploy"}, d.Name()) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), root)
		p := packages[name]
		if p == nil {
			p = &pkg{}
			packages[name] = p
		}
		if file.Doc != nil {
			p.synopsis = new(doc.Package).Synopsis(file.Doc.Text())
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			switch own, ok := strings.CutPrefix(imported, "github.com/wxnotify/wxnotify/"); {
			case ok:
				p.ours = append(p.ours, own)
			case strings.Contains(imported, "."):
				parts := strings.Split(imported, "/")
				size := 3 // host, owner, name
				if !strings.HasPrefix(imported, "github.com/") && parts[1] != "x" {
					size = 2
				}
				p.others = append(p.others, strings.Join(parts[:min(size, len(parts))], "/"))
			}
		}
		return nil
	}))
	var b strings.Builder
	b.WriteString("| package | for | imports of ours | other modules |\n| --- | --- | --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		p := packages[name]
		_, what, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(p.synopsis, "Package "), "Command "), " ")
		what, _, _ = strings.Cut(strings.TrimSuffix(what, "."), ": ")
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, what, listed(p.ours), listed(p.others))
	}
	return b.String()
}

func listed(names []string) string {
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// TestDesignFollowsTheCalls: each function that docs/design.md names is declared, and
// each → between two of them is a call.
func TestDesignFollowsTheCalls(t *testing.T) {
	t.Parallel()
	bodies := map[string][]*ast.BlockStmt{}
	for _, file := range sourceFiles(t) {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				bodies[funcName(f)] = append(bodies[funcName(f)], f.Body)
			}
		}
	}
	calls := func(from, to string) bool {
		to = to[strings.LastIndexByte(to, '.')+1:]
		found := false
		for _, body := range bodies[from] {
			ast.Inspect(body, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					switch fun := call.Fun.(type) {
					case *ast.Ident:
						found = found || fun.Name == to
					case *ast.SelectorExpr:
						found = found || fun.Sel.Name == to
					}
				}
				return true
			})
		}
		return found
	}
	name := regexp.MustCompile("`((?:[A-Za-z]+\\.)?[A-Za-z]+)`( → )?")
	arrows := 0
	for line := range strings.Lines(document(t, "docs/design.md")) {
		if !strings.Contains(line, " → `") {
			continue
		}
		from := ""
		for _, m := range name.FindAllStringSubmatch(line, -1) {
			if m[2] != "" || from != "" {
				if bodies[m[1]] == nil {
					t.Errorf("there is no function %s", m[1])
				}
			}
			if from != "" {
				arrows++
				if !calls(from, m[1]) {
					t.Errorf("%s does not call %s", from, m[1])
				}
			}
			if from = ""; m[2] != "" {
				from = m[1]
			}
		}
	}
	if arrows < 20 {
		t.Errorf("found %d arrows only", arrows)
	}
}

// designedKeys are the keys of ours that docs/design.md has a row for.
var designedKeys = sync.OnceValues(func() (*regexp.Regexp, error) {
	text, err := os.ReadFile(designPath)
	if err != nil {
		return nil, err
	}
	_, section, _ := strings.Cut(string(text), "## In Redis\n")
	var patterns []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?`) \\|").FindAllStringSubmatch(section, -1) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			name := strings.Replace(m[1], "…:", "wxn:{<appid>}:", 1)
			patterns = append(patterns, regexp.MustCompile(`…|<[a-z]+>`).ReplaceAllString(regexp.QuoteMeta(name), `[^{}]+`))
		}
	}
	if len(patterns) < 50 {
		return nil, fmt.Errorf("docs/design.md names %d keys only", len(patterns))
	}
	// What is found by sealed names ends in the key's ID, as the row of …:names says.
	return regexp.Compile("^(" + strings.Join(patterns, "|") + ")(~[0-9a-f]{8})?$")
})

// keysAreDesigned reports the keys that a test leaves in Redis and no row of
// docs/design.md names. Where the test has ended its Redis there are none.
func keysAreDesigned(tb testing.TB, redisURL string) {
	tb.Helper()
	known, err := designedKeys()
	if err != nil {
		tb.Fatal(err)
	}
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		tb.Fatal(err)
	}
	rdb := redis.NewClient(options)
	defer func() { _ = rdb.Close() }()
	ctx := context.WithoutCancel(tb.Context())
	for keys := rdb.Scan(ctx, 0, "wxn:*", 10_000).Iterator(); keys.Next(ctx); {
		if !known.MatchString(keys.Val()) {
			tb.Errorf("docs/design.md has no row for the key %s", keys.Val())
		}
	}
}

// funcName is the name of a function, or Type.name of a method.
func funcName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	receiver := f.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.IndexListExpr:
			receiver = r.X
		case *ast.Ident:
			return r.Name + "." + f.Name.Name
		default:
			return f.Name.Name
		}
	}
}
