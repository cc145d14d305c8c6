package main

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"
)

const root = "../../"

// documents are the paths of all Markdown files of the module, relative to its root.
func documents(t *testing.T) (paths []string) {
	t.Helper()
	check(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", "node_modules", "testdata", "bin"}, d.Name()) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			paths = append(paths, strings.TrimPrefix(filepath.ToSlash(path), root))
		}
		return nil
	}))
	if len(paths) < 50 {
		t.Fatalf("found %d documents only", len(paths))
	}
	return paths
}

func document(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(root + path)
	check(t, err)
	return string(text)
}

const inChinese = ".zh-CN.md"

// chineseOf is the path of a document's Chinese version; it need not exist.
func chineseOf(path string) string { return strings.TrimSuffix(path, ".md") + inChinese }

// TestDocumentsOfUsersAreInBothLanguages: what is read by people who install, call and
// operate wxnotify has a Chinese version, and each of the two links to the other one.
func TestDocumentsOfUsersAreInBothLanguages(t *testing.T) {
	t.Parallel()
	englishOnly := []string{
		"docs/cases.md", "docs/design.md", "docs/performance.md", "docs/reliability.md", "docs/simulator.md", "docs/wechat.md",
		"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
	}
	all := documents(t)
	for _, path := range all {
		dir := filepath.Dir(path)
		if strings.HasSuffix(path, inChinese) || !slices.Contains([]string{".", "docs", "docs/migrate"}, dir) || slices.Contains(englishOnly, path) {
			continue
		}
		if !slices.Contains(all, chineseOf(path)) {
			t.Errorf("%s is not there", chineseOf(path))
			continue
		}
		for from, to := range map[string]string{path: chineseOf(path), chineseOf(path): path} {
			if !strings.Contains(document(t, from), "]("+filepath.Base(to)+")") {
				t.Errorf("%s does not link to %s", from, filepath.Base(to))
			}
		}
	}
}

// TestTranslationsSayTheSame compares what must not differ between the languages:
// headings, rows, code without its comments, and line by line the settings, commands,
// metrics, codes and numbers of the text.
func TestTranslationsSayTheSame(t *testing.T) {
	t.Parallel()
	for _, path := range documents(t) {
		if !strings.HasSuffix(path, inChinese) {
			continue
		}
		english := strings.TrimSuffix(path, inChinese) + ".md"
		want, got := shapeOf(document(t, english)), shapeOf(document(t, path))
		for i := range max(len(want), len(got)) {
			if i >= len(want) || i >= len(got) || want[i] != got[i] {
				t.Errorf("%s has other facts than %s. The first ones that differ:\n%q\n%q", path, english, want[min(i, len(want)):min(i+1, len(want))], got[min(i, len(got)):min(i+1, len(got))])
				break
			}
		}
	}
}

var (
	codeComment  = regexp.MustCompile(`(^|\s+)(#|//)(\s.*)?$`)
	fixedTerm    = regexp.MustCompile("`[^`\n]+`|\\bE-[A-Z]+\\b|\\b\\d+[\\d.:]*\\d\\b")
	lineMarker   = regexp.MustCompile(`^(\||-|\d+\.)`)
	languageLink = regexp.MustCompile(`^\[[^]]*\]\([^)]*\)$`)
	// generatedPart is what tests of its own keep equal to its source, in each language.
	generatedPart = regexp.MustCompile(`(?s)<!-- (settings|findings) -->.*<!-- /(settings|findings) -->|\A<!-- Generated .*`)
)

// shapeOf is what a translation keeps: of a heading its level, of a line of code all but
// the comment, of a row and of any other line the terms that no language changes.
func shapeOf(text string) (shape []string) {
	fence := ""
	for line := range strings.Lines(generatedPart.ReplaceAllString(text, "")) {
		line = strings.TrimSpace(line)
		switch kind, _, _ := strings.Cut(line, " "); {
		case strings.HasPrefix(line, "```") && fence == "":
			fence = line
			shape = append(shape, line)
		case strings.HasPrefix(line, "```"):
			fence = ""
		case fence == "```mermaid":
		case fence != "":
			shape = append(shape, strings.TrimSpace(codeComment.ReplaceAllString(line, "")))
		case strings.HasPrefix(kind, "#"):
			shape = append(shape, kind)
		default:
			if line != "" && !languageLink.MatchString(line) {
				shape = append(shape, lineMarker.FindString(line)+" "+termsOf(line))
			}
		}
	}
	return shape
}

// termsOf are the terms of a line, each once and in the order of the alphabet: sentences
// put them into another order.
func termsOf(line string) string {
	terms := slices.DeleteFunc(fixedTerm.FindAllString(line, -1), func(term string) bool {
		return strings.ContainsFunc(term, func(r rune) bool { return unicode.Is(unicode.Han, r) })
	})
	slices.Sort(terms)
	return strings.Join(slices.Compact(terms), " ")
}

var markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinksOfDocumentsLeadSomewhere: each relative link names a file, and each anchor one
// of its headings. A Chinese document links to the Chinese version of another one.
func TestLinksOfDocumentsLeadSomewhere(t *testing.T) {
	t.Parallel()
	all := documents(t)
	for _, path := range all {
		for _, m := range markdownLink.FindAllStringSubmatch(document(t, path), -1) {
			u, err := url.Parse(m[1])
			if err != nil || u.IsAbs() {
				continue
			}
			to := path
			if u.Path != "" {
				to = filepath.ToSlash(filepath.Join(filepath.Dir(path), u.Path))
			}
			if _, err := os.Stat(root + to); err != nil {
				t.Errorf("%s: %s is not there", path, m[1])
				continue
			}
			if u.Fragment != "" && !slices.Contains(anchors(document(t, to)), u.Fragment) {
				t.Errorf("%s: %s names no heading", path, m[1])
			}
			if strings.HasSuffix(path, inChinese) && chineseOf(to) != path && slices.Contains(all, chineseOf(to)) {
				t.Errorf("%s: %s has a Chinese version", path, m[1])
			}
		}
	}
}

// anchors are the names by which headings are linked to: lower case, without marks, with
// hyphens for spaces.
func anchors(text string) (out []string) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		heading := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
		out = append(out, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return r
			}
			return -1
		}, heading))
	}
	return out
}

// TestDocumentsNameWhatExists: each command and flag of wxnotify in the documents is one
// of the program, and each Go file that they name is there. Decisions and the changelog
// tell of the past, too.
func TestDocumentsNameWhatExists(t *testing.T) {
	t.Parallel()
	// Not what follows ACL SETUSER.
	commandLine := regexp.MustCompile("(?m)(?:^|[^R] |[`(])wxnotify ([a-z][^`|>&#;()\n]*)")
	goFile := regexp.MustCompile("`([a-z]+(?:/[a-z_]+)*/[a-z_]+\\.(?:go|lua))`")
	spans := []string{"api …", "enqueue", "process", "receipt"} // of traces
	program, lines := new(app).command(), 0
	for _, path := range documents(t) {
		if path == "CHANGELOG.md" || strings.HasPrefix(path, "docs/adr/") {
			continue
		}
		text := document(t, path)
		for _, m := range goFile.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(root + m[1]); err != nil {
				t.Errorf("%s: there is no %s", path, m[1])
			}
		}
		for _, m := range commandLine.FindAllStringSubmatch(codeOf(text), -1) {
			lines++
			if why := unknownIn(program, strings.Fields(m[1])); why != "" && !slices.Contains(spans, m[1]) {
				t.Errorf("%s: wxnotify %s: there is no %s", path, m[1], why)
			}
		}
	}
	if lines < 150 {
		t.Errorf("found %d command lines only", lines)
	}
}

// codeOf is the code of a document: its fences and its spans, a line each.
func codeOf(text string) string {
	var b strings.Builder
	fence := ""
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```") && fence == "":
			fence = strings.TrimSpace(line)
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			fence = ""
		case fence == "```mermaid":
		case fence != "":
			b.WriteString(strings.TrimSpace(line) + "\n")
		default:
			for _, span := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(line, -1) {
				b.WriteString(span[1] + "\n")
			}
		}
	}
	return b.String()
}

// unknownIn is the first command or flag of a command line that the program does not
// have; empty: it has all.
func unknownIn(cmd *cobra.Command, args []string) string {
	for len(args) > 0 {
		child := func(c *cobra.Command) bool { return c.Name() == args[0] || slices.Contains(c.Aliases, args[0]) }
		i := slices.IndexFunc(cmd.Commands(), child)
		if i < 0 {
			break
		}
		cmd, args = cmd.Commands()[i], args[1:]
	}
	word := len(args) > 0 && !strings.HasPrefix(args[0], "-")
	if !cmd.HasParent() || word && cmd.HasSubCommands() && (!cmd.Runnable() || cmd.ValidateArgs(args[:1]) != nil) {
		return "command " + strings.Join(args, " ")
	}
	for _, arg := range args {
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if strings.HasPrefix(arg, "--") && cmd.Flag(name) == nil && name != "help" {
			return "flag --" + name
		}
	}
	return ""
}

// TestDecisionsAreListed: the index has each decision once, under its title, and a
// decision that another one supersedes says so.
func TestDecisionsAreListed(t *testing.T) {
	t.Parallel()
	index := document(t, "docs/adr/README.md")
	for _, path := range documents(t) {
		name, ok := strings.CutPrefix(path, "docs/adr/")
		if !ok || name == "README.md" {
			continue
		}
		text := document(t, path)
		head, _, _ := strings.Cut(text, "\n")
		number, title, _ := strings.Cut(strings.TrimPrefix(head, "# "), ". ")
		if line := "- [" + number + "](" + name + ") " + title + "\n"; strings.Count(index, line) != 1 {
			t.Errorf("docs/adr/README.md does not have once: %s", line)
		}
		status := regexp.MustCompile(`(?m)^Status: .*`).FindString(text)
		if _, older, ok := strings.Cut(status, "Supersedes "); ok {
			for _, n := range regexp.MustCompile(`\d{4}`).FindAllString(older, -1) {
				if pages, err := filepath.Glob(root + "docs/adr/" + n + "-*.md"); err != nil || len(pages) != 1 {
					t.Errorf("%s supersedes %s, which is not there", path, n)
				} else if of := document(t, strings.TrimPrefix(filepath.ToSlash(pages[0]), root)); !regexp.MustCompile(`(?m)^Status: .*\b` + number + `\b`).MatchString(of) {
					t.Errorf("the status of %s does not say that %s supersedes it", n, number)
				}
			}
		}
	}
}
