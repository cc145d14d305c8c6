package locale_test

import (
	"testing"

	"github.com/wxnotify/wxnotify/internal/locale"
)

func TestWordsSayWhatTheTableHas(t *testing.T) {
	t.Parallel()
	zh := locale.ParseWords("no\t否\n%d of %d\t%[2]d 中的 %[1]d\n100 %\t百分之百\n")
	for want, got := range map[string]string{
		"否":      zh.Say("no"),
		"3 中的 2": zh.Say("%d of %d", 2, 3),
		"百分之百":   zh.Say("100 %"),
		"yes":    zh.Say("yes"),
		"1 left": zh.Say("%d left", 1),
		"no":     locale.Words(nil).Say("no"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
