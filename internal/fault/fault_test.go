package fault_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/wxnotify/wxnotify/internal/fault"
	"github.com/wxnotify/wxnotify/wechat"
)

func TestEveryFaultHasItsTextInBothLanguages(t *testing.T) {
	t.Parallel()
	hasHan := func(text string) bool {
		return strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) })
	}
	seen := map[wechat.FaultCode]bool{}
	for _, r := range append(fault.Rows(), fault.Row{Code: "another"}) {
		f := fault.New("id", r.Code)
		if seen[r.Code] || f.Code != r.Code || f.Path != "id" || hasHan(f.Message) || !hasHan(f.MessageIn(wechat.Chinese)) || !strings.Contains(f.Message, ": ") {
			t.Errorf("%s: %q, %q", r.Code, f, f.In(wechat.Chinese))
		}
		seen[r.Code] = true
	}
	if len(seen) < 11 {
		t.Errorf("%d faults only", len(seen))
	}
}
