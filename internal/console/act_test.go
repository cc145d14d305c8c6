package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/console"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/internal/queue"
	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/ratelimit"
)

func TestOneMessageIsChangedOnlyAfterAConfirmation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(t, "cancel-1")
	b.dead(t, 47003, "retry-1", "drop-1")
	for _, row := range []struct {
		id, do        string
		before, after ledger.State
		asks, notice  string
	}{
		{"cancel-1", "cancel", ledger.Queued, ledger.Cancelled, "Cancel message cancel-1?", "Cancelled."},
		{"retry-1", "retry", ledger.Dead, ledger.Queued, "Send message retry-1 again?", "Put on its queue again."},
		{"drop-1", "drop", ledger.Dead, ledger.Dead, "Drop message drop-1?", "Dropped."},
	} {
		story := b.get(t, "/message?id="+row.id)
		form := append(story.hidden(t, "/console/act"), "do", row.do)
		question := b.post(t, "/act", form...)
		question.must(t, row.do+": the question", http.StatusOK, row.asks)
		if got := b.state(t, row.id); got != row.before || strings.Contains(b.trail(t), row.id) {
			t.Errorf("%s was changed before the confirmation: %s\n%s", row.id, got, b.trail(t))
		}
		b.confirm(t, question, "/act").must(t, row.do+": confirmed", http.StatusOK, row.notice, "Message "+row.id)
		if got := b.state(t, row.id); got != row.after {
			t.Errorf("%s: %s, want %s", row.id, got, row.after)
		}
		if line := "li (console) " + row.do + "  1 message: " + row.id + " (from 192.0.2.7)"; !strings.Contains(b.trail(t), line) {
			t.Errorf("the trail lacks %q:\n%s", line, b.trail(t))
		}
	}
	b.get(t, "/message?id=retry-1").must(t, "its story", http.StatusOK, "Sent again by an operator (1 so far)")
	b.get(t, "/message?id=retry-1&lang=zh").must(t, "its story in Chinese", http.StatusOK, "由运维人员重发（共 1 次）")
	for id, want := range map[string]bool{"cancel-1": false, "retry-1": true} {
		if task := must[*queue.Waiting](t)(queue.NewInspector(b.rdb).Task(t.Context(), account, job.Default, id)); (task != nil) != want {
			t.Errorf("%s has a task: %v, want %v", id, task != nil, want)
		}
	}
	if _, total, err := b.account.Ledger.Dead(t.Context(), 0, 1); err != nil || total != 0 {
		t.Errorf("%d dead letters are left, %v", total, err)
	}
}

func TestAChangeThatCameTooLateIsExplained(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(t, "late-1")
	question := b.post(t, "/act", append(b.get(t, "/message?id=late-1").hidden(t, "/console/act"), "do", "cancel")...)
	b.end(t, "late-1", ledger.Outcome{State: ledger.Rejected, To: openid, Errcode: 43004})
	b.confirm(t, question, "/act").must(t, "cancel of an ended message", http.StatusConflict, "late-1", "rejected")
	b.dead(t, 47003, "dead-1")
	form := b.get(t, "/message?id=dead-1").hidden(t, "/console/act")
	question = b.post(t, "/act", append(form, "do", "retry")...)
	if err := b.account.Ledger.Drop(t.Context(), "dead-1"); err != nil {
		t.Fatal(err)
	}
	b.confirm(t, question, "/act").must(t, "retry of a dropped letter", http.StatusConflict, "Its body was dropped")
	b.post(t, "/act", "do", "cancel", "id", "forged").must(t, "a forged form", http.StatusGone, "out of date")
	b.post(t, "/act", append(form, "do", "burn")...).must(t, "an unknown action", http.StatusBadRequest)
	other := setupOn(t, b.rdb, "")
	other.post(t, "/act", append(form, "do", "retry")...).must(t, "a form of another process", http.StatusGone, "out of date")
}

func TestAllDeadLettersOfOneCauseAreRetriedInTheBackground(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.dead(t, 47003, ids("bad-", 5)...)
	b.dead(t, 45047, ids("busy-", 70)...)
	page := b.get(t, "/dead")
	page.must(t, "the page", http.StatusOK, "Messages that were given up: 75", "Retry all 75")
	question := b.post(t, "/act-all", append(page.hidden(t, "/console/act-all"), "do", "retry")...) // the first group is the largest
	question.must(t, "the question", http.StatusOK, "Dead letters to send again: 70", "dead letters with errcode 45047", "It is done in the background")
	if got := b.state(t, "busy-3"); got != ledger.Dead {
		t.Errorf("a message was changed before the confirmation: %s", got)
	}
	b.dead(t, 45047, "busy-after-the-count")
	b.confirm(t, question, "/act-all").must(t, "confirmed", http.StatusOK, "retry: dead letters with errcode 45047")
	testutil.Until(t, "the run ends", func() bool { return strings.Contains(b.get(t, "/runs").body, "70 of 70 done, 0 failed") })
	for id, want := range map[string]ledger.State{"busy-0": ledger.Queued, "busy-69": ledger.Queued, "bad-0": ledger.Dead, "busy-after-the-count": ledger.Dead} {
		if got := b.state(t, id); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	testutil.Until(t, "the trail has both lines", func() bool {
		trail := b.trail(t)
		return strings.Contains(trail, "li (console) retry all  dead letters with errcode 45047 (from 192.0.2.7)") &&
			strings.Contains(trail, "li (console) retried all  70 of 70, 0 failed; dead letters with errcode 45047 (from 192.0.2.7)")
	})
}

func TestAllThatMatchASearchAreCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(t, ids("wait-", 30)...)
	b.enqueue(t, "ended-1")
	b.end(t, "ended-1", ledger.Outcome{State: ledger.Rejected, To: openid, Errcode: 43004})
	list := b.post(t, "/messages", "openid", openid)
	form := append(list.hidden(t, "/console/act-all"), "do", "cancel")
	question := b.post(t, "/act-all", form...)
	question.must(t, "the question", http.StatusOK, "Messages to cancel: 30", "messages with openid oCAN…Ef")
	b.confirm(t, question, "/act-all")
	testutil.Until(t, "the run ends", func() bool { return strings.Contains(b.get(t, "/runs").body, "30 of 30 done, 0 failed") })
	if got := b.state(t, "wait-29"); got != ledger.Cancelled {
		t.Errorf("wait-29: %s", got)
	}
	b.post(t, "/act-all", form...).must(t, "once more", http.StatusOK, "No message is in a state in which this can be done.")
	if strings.Contains(b.trail(t), openid) {
		t.Error("the trail has the openid")
	}
}

func TestTheFormOfARunStopsIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.dead(t, 47003, "dead-1")
	question := b.post(t, "/act-all", append(b.get(t, "/dead").hidden(t, "/console/act-all"), "do", "retry")...)
	b.confirm(t, question, "/act-all")
	b.post(t, "/runs/stop", "id", "1").must(t, "stop", http.StatusOK, "Stopped.")
	b.post(t, "/runs/stop", "id", "99").must(t, "a run that does not exist", http.StatusBadRequest)
	testutil.Until(t, "the trail tells what was done", func() bool { return strings.Contains(b.trail(t), "retried all") })
}

func TestSendingIsPausedAndResumed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, class := range []string{"", "bulk"} {
		question := b.post(t, "/gate", "do", "pause", "class", class)
		question.must(t, "the question", http.StatusOK, "Stop sending:", "Reason, for your colleagues")
		fields := append(question.hidden(t, "/console/gate"), "reason", "wrong template")
		b.post(t, "/gate", fields...).must(t, "paused", http.StatusOK, "Paused.")
		testutil.Until(t, "the overview shows it", func() bool { return strings.Contains(b.get(t, "/").body, "li (console)") })
		paused := class == "" && len(must[ratelimit.State](t)(b.account.Gate.State(t.Context())).Pauses) == 1
		for _, q := range must[[]queue.State](t)(queue.NewInspector(b.rdb).Queues(t.Context(), account)) {
			paused = paused || (q.Paused && string(q.Class) == class && q.Pause.Owner == "li (console)" && q.Pause.Reason == "wrong template")
		}
		if !paused {
			t.Errorf("class %q is not paused", class)
		}
		b.confirm(t, b.post(t, "/gate", "do", "resume", "class", class), "/gate").must(t, "resumed", http.StatusOK, "Resumed.")
	}
	if s := must[ratelimit.State](t)(b.account.Gate.State(t.Context())); len(s.Pauses) != 0 {
		t.Errorf("pauses are left: %+v", s.Pauses)
	}
	for _, line := range []string{"paused  sending: wrong template", "resumed  sending bulk"} {
		if !strings.Contains(b.trail(t), line) {
			t.Errorf("the trail lacks %q:\n%s", line, b.trail(t))
		}
	}
	b.post(t, "/gate", "do", "explode").must(t, "an unknown action", http.StatusBadRequest)
	b.post(t, "/gate", "do", "pause", "class", "gold").must(t, "an unknown class", http.StatusBadRequest)
	b.post(t, "/gate", "do", "pause", "account", "wxother").must(t, "an unknown account", http.StatusNotFound)
}

func TestNothingIsChangedWithoutTheAuditTrail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(t, "audit-1")
	question := b.post(t, "/act", append(b.get(t, "/message?id=audit-1").hidden(t, "/console/act"), "do", "cancel")...)
	if err := b.rdb.Set(t.Context(), "wxn:{"+account+"}:audit", "not a stream", 0).Err(); err != nil {
		t.Fatal(err)
	}
	b.confirm(t, question, "/act").must(t, "without a trail", http.StatusServiceUnavailable, "This cannot be read or changed now")
	if got := b.state(t, "audit-1"); got != ledger.Queued {
		t.Errorf("it was changed: %s", got)
	}
}

func TestRolesBoundWhatAnOperatorMayDo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	needs := map[string]console.Role{
		"GET /": console.View, "GET /runs": console.View, "GET /messages": console.Support, "GET /message?id=x": console.Support,
		"GET /dead": console.Support, "GET /suppressions": console.Support, "GET /roster": console.Support, "GET /audit": console.Support,
		"GET /keys": console.Admin, "GET /templates": console.Support, "GET /webhooks": console.Support, "POST /webhooks": console.Operate, "POST /messages": console.Support, "POST /suppressions": console.Support, "POST /roster": console.Support,
		"POST /gate": console.Operate, "POST /act": console.Operate, "POST /act-all": console.Operate, "POST /lift": console.Operate,
		"POST /runs/stop": console.Operate, "POST /person": console.Admin, "POST /keys": console.Admin,
	}
	for _, role := range []console.Role{console.View, console.Support, console.Operate, console.Admin} {
		b.role = role
		for what, need := range needs {
			method, path, _ := strings.Cut(what, " ")
			page := b.get
			if method == http.MethodPost {
				page = func(t *testing.T, path string) shown { t.Helper(); return b.post(t, path) }
			}
			if got := page(t, path); (got.status == http.StatusForbidden) != (role < need) {
				t.Errorf("role %d: %s: %d", role, what, got.status)
			}
		}
		overview := b.get(t, "/").body
		if strings.Contains(overview, `value="pause"`) != (role >= console.Operate) || strings.Contains(overview, "/console/keys") != (role >= console.Admin) {
			t.Errorf("role %d: the overview shows the wrong buttons", role)
		}
	}
}

func TestForecastsTellWhenTheQuotaRunsOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.get(t, "/").must(t, "a fresh day", http.StatusOK, "1,000", "At the speed of the last ten minutes it lasts until the reset.", "left of 1,000")
	b.enqueue(t, ids("much-", 1001)...)
	testutil.Until(t, "more waits than is left", func() bool {
		return strings.Contains(b.get(t, "/").body, "Waiting messages: 1,001, more than the day has left.")
	})
}
