package doctor_test

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxnotify/wxnotify/internal/doctor"
	"github.com/wxnotify/wxnotify/wechat"
)

func outcomes(r doctor.Report) string {
	var out []string
	for _, c := range r.Checks {
		out = append(out, strings.TrimSpace(c.Check+" "+c.Account)+"="+string(c.Outcome))
	}
	return strings.Join(out, " ")
}

func codes(r doctor.Report) (out []doctor.Code) {
	for _, f := range r.Findings {
		out = append(out, f.Code)
	}
	return out
}

// TestRunGoesOnAfterWhatFails: a check that hangs, even without regard to its context,
// and one that panics.
func TestRunGoesOnAfterWhatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		began := time.Now()
		report := doctor.Run(t.Context(), []doctor.Check{
			{Name: "hangs", Run: func(context.Context, *doctor.Notes) { <-release }, Then: []doctor.Check{{Name: "needs-it"}}},
			{Name: "panics", Run: func(context.Context, *doctor.Notes) { panic("a fault") }, Then: []doctor.Check{{Name: "needs-that", Then: []doctor.Check{{Name: "and-that"}}}}},
			{Name: "obeys", Run: func(ctx context.Context, n *doctor.Notes) { <-ctx.Done(); n.Detail("late", "晚") }},
			{Name: "works", Account: "wxa", Run: func(_ context.Context, n *doctor.Notes) { n.Detail("fine", "好") }, Then: []doctor.Check{
				{Name: "after", Run: func(context.Context, *doctor.Notes) {}},
			}},
		}, wechat.English)
		close(release)
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("took %s", took)
		}
		const want = "hangs=fatal needs-it=skipped panics=fatal needs-that=skipped and-that=skipped obeys=ok works wxa=ok after=ok"
		if got := outcomes(report); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if got := codes(report); report.OK || !slices.Equal(got, []doctor.Code{"check-slow", "check-broken"}) {
			t.Errorf("ok %v, %v", report.OK, got)
		}
		if d := report.Checks[1].Detail; d != "not asked, since hangs failed" {
			t.Errorf("detail of a skipped check: %q", d)
		}
	})
}

// TestRunOfSkippedChecks: those that need a skipped one are skipped for its reason, and
// nothing is fatal.
func TestRunOfSkippedChecks(t *testing.T) {
	t.Parallel()
	report := doctor.Run(t.Context(), []doctor.Check{
		{Name: "off", Run: func(_ context.Context, n *doctor.Notes) { n.Skip("not wanted", "不需要") }, Then: []doctor.Check{{Name: "inner"}}},
		{Name: "warns", Run: func(_ context.Context, n *doctor.Notes) {
			n.Add("setting-warning", "cause", "x")
			n.Add("setting-warning", "cause", "x")
		}},
	}, wechat.Chinese)
	if got := outcomes(report); got != "off=skipped inner=skipped warns=warning" || !report.OK {
		t.Errorf("%s, ok %v", got, report.OK)
	}
	if report.Checks[1].Detail != "不需要" {
		t.Errorf("reason %q", report.Checks[1].Detail)
	}
	if len(report.Findings) != 1 || report.Findings[0].What != "设置可能有误：x" {
		t.Errorf("the same finding twice, or not filled in: %+v", report.Findings)
	}
	unknown := doctor.Run(t.Context(), []doctor.Check{{Name: "wrong", Run: func(_ context.Context, n *doctor.Notes) { n.Add("no-such-code") }}}, wechat.English)
	if got := codes(unknown); !slices.Equal(got, []doctor.Code{"check-broken"}) {
		t.Errorf("a code without texts: %v", got)
	}
}

// TestRunWithoutAnything of an installation whose settings are all refused asks nothing
// and does not fail.
func TestRunWithoutAnything(t *testing.T) {
	t.Parallel()
	checks, rdb := doctor.Checks(doctor.Installation{Accounts: []doctor.Account{{AppID: "wxa"}}})
	if rdb != nil {
		t.Error("a client of no Redis")
	}
	report := doctor.Run(t.Context(), checks, wechat.English)
	if got := codes(report); !slices.Equal(got, []doctor.Code{"appsecret-missing", "callback-missing"}) {
		t.Errorf("%v", got)
	}
	for _, c := range report.Checks {
		if c.Outcome == doctor.Passed && c.Check != "links" {
			t.Errorf("%s passed without being asked", c.Check)
		}
	}
}

// TestTextsFitInBothLanguages: the same braces in English and Chinese.
func TestTextsFitInBothLanguages(t *testing.T) {
	t.Parallel()
	braces := func(s string) []string {
		all := regexp.MustCompile(`\{\w+\}`).FindAllString(s, -1)
		slices.Sort(all)
		return slices.Compact(all)
	}
	for _, code := range doctor.Codes() {
		texts := doctor.Texts(code)
		for i, name := range []string{"what", "why", "remedy"} {
			en, zh := texts[wechat.English][i], texts[wechat.Chinese][i]
			if en == "" || zh == "" || !slices.Equal(braces(en), braces(zh)) {
				t.Errorf("%s, %s: %q and %q", code, name, en, zh)
			}
		}
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
