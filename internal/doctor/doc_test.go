package doctor_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/doctor"
	"github.com/wxnotify/wxnotify/wechat"
)

var update = flag.Bool("update", false, "write the generated parts of docs/doctor.md and docs/doctor.zh-CN.md")

const (
	findingsBegin = "<!-- findings -->\n"
	findingsEnd   = "<!-- /findings -->"
)

// TestGoldenFindings keeps the tables of both documents equal to the catalogue.
func TestGoldenFindings(t *testing.T) {
	t.Parallel()
	for name, lang := range map[string]wechat.Lang{"doctor.md": wechat.English, "doctor.zh-CN.md": wechat.Chinese} {
		path := filepath.Join("..", "..", "docs", name)
		page, err := os.ReadFile(path)
		must(t, err)
		before, rest, opened := strings.Cut(string(page), findingsBegin)
		_, after, closed := strings.Cut(rest, findingsEnd)
		if !opened || !closed {
			t.Fatalf("%s has no %s … %s", name, strings.TrimSpace(findingsBegin), findingsEnd)
		}
		want := before + findingsBegin + table(lang) + findingsEnd + after
		if string(page) == want {
			continue
		}
		if !*update {
			t.Errorf("%s differs from catalogue.go; run `go generate ./internal/doctor` and read the difference", name)
			continue
		}
		must(t, os.WriteFile(path, []byte(want), 0o600))
	}
}

func table(lang wechat.Lang) string {
	head := "| code | severity | what | why it hurts | remedy |\n| --- | --- | --- | --- | --- |\n"
	if lang == wechat.Chinese {
		head = "| 代码 | 级别 | 问题 | 影响 | 处理 |\n| --- | --- | --- | --- | --- |\n"
	}
	var b strings.Builder
	b.WriteString(head)
	for _, code := range doctor.Codes() {
		texts := doctor.Texts(code)[lang]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", code, doctor.SeverityOf(code), texts[0], texts[1], texts[2])
	}
	return b.String()
}
