package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
	"github.com/wxnotify/wxnotify/worker"
)

func refusal(code wechat.Code) *wechat.Error {
	return &wechat.Error{Op: wechat.SendPath, Code: code, Msg: "as WeChat says"}
}

func transport(status int, ambiguous bool, err error) *wechat.TransportError {
	return &wechat.TransportError{Op: wechat.SendPath, HTTPStatus: status, Ambiguous: ambiguous, Err: err}
}

// row is what the table must say of a code: at the first attempt, at the last
// one, and about others than this message.
type row struct {
	codes    []wechat.Code
	first    worker.Action
	state    ledger.State
	last     ledger.State // after the last attempt; empty: it never ends by itself
	hold     ratelimit.Reason
	suppress time.Duration
	why      string
}

const day = 24 * time.Hour

// rows has every code of wechat's table. Who adds a code adds it here, and so
// says what a send does when it meets it.
func rows() []row {
	return []row{
		{
			codes: []wechat.Code{-1}, first: worker.Retry, state: ledger.Retrying, last: ledger.Unknown,
			why: "busy: WeChat may have taken it all the same",
		},
		{
			codes: []wechat.Code{40001, 40014, 42001, 41001}, first: worker.Defer, state: ledger.Queued, hold: ratelimit.ReasonToken,
			why: "the token is not this message's fault",
		},
		{codes: []wechat.Code{45011}, first: worker.Defer, state: ledger.Queued, hold: ratelimit.ReasonMinute, why: "next minute"},
		{codes: []wechat.Code{45009}, first: worker.Defer, state: ledger.Queued, hold: ratelimit.ReasonRefused, why: "next day"},
		{codes: []wechat.Code{
			40002, 40125, 40243, 41002, 41004, 50004, 50007, 89501, 89503, 89506, 89507,
			43104, 45109, 48001, 48003, 48004, 48008, 50001, 61003, 61007, 61023,
		}, first: worker.Defer, state: ledger.Queued, hold: ratelimit.ReasonAccount, why: "nothing of the account can be sent"},
		{codes: []wechat.Code{40164, 45035, 61004}, first: worker.Defer, state: ledger.Queued, why: "this worker's address; others may be listed"},
		{
			codes: []wechat.Code{40003, 45047, 50002}, first: worker.Discard, state: ledger.Rejected, last: ledger.Rejected,
			why: "one hit says nothing about the next message",
		},
		{
			codes: []wechat.Code{43004, 50005}, first: worker.Discard, state: ledger.Rejected, last: ledger.Rejected,
			suppress: day, why: "not a follower now",
		},
		{
			codes: []wechat.Code{48002}, first: worker.Discard, state: ledger.Rejected, last: ledger.Rejected,
			suppress: 7 * day, why: "muted the account",
		},
		{
			codes: []wechat.Code{43019, 46004}, first: worker.Discard, state: ledger.Rejected, last: ledger.Rejected,
			suppress: 30 * day, why: "blacklisted, or gone",
		},
		{
			codes: []wechat.Code{43101}, first: worker.Discard, state: ledger.Rejected, last: ledger.Rejected,
			suppress: 14 * day, why: "switched this template off",
		},
		{codes: []wechat.Code{43117}, first: worker.Retry, state: ledger.Retrying, last: ledger.Dead, why: "too often: hours"},
		{codes: []wechat.Code{
			40008, 40013, 40033, 40035, 40036, 40039, 40165, 40166, 40249, 43002, 44002, 45002, 45008,
			45168, 47001, 47002, 47003, 1119003, 1119004, 9001001,
		}, first: worker.Discard, state: ledger.Rejected, last: ledger.Rejected, why: "this message is wrong for good"},
		{
			codes: []wechat.Code{40241}, first: worker.Discard, state: ledger.Rejected, last: ledger.Rejected,
			why: "the same content as another message",
		},
		{
			codes: []wechat.Code{40037}, first: worker.Retry, state: ledger.Retrying, last: ledger.Rejected,
			why: "was seen for valid templates too",
		},
		{codes: []wechat.Code{43116}, first: worker.Discard, state: ledger.Rejected, last: ledger.Rejected, why: "banned"},
		{codes: []wechat.Code{
			48006, 40246, 40247, 43100, 43106, 45026, 45027, 43001, 43003, 40029, 40030, 40062, 40163, 41008, 41009,
			42002, 42003, 42007, 45029, 9410010, 9410011, 9410012, 76001, 76002, 76003, 76004, 76021, 76022,
			43107, 43108, 45103, 63178, // of other calls
		}, first: worker.Retry, state: ledger.Retrying, last: ledger.Dead, why: "strange at a send: two retries"},
		{codes: []wechat.Code{123456}, first: worker.Retry, state: ledger.Retrying, last: ledger.Dead, why: "outside the table"},
	}
}

func TestVerdictTable(t *testing.T) {
	t.Parallel()
	for _, r := range rows() {
		for _, code := range r.codes {
			t.Run(strconv.Itoa(int(code)), func(t *testing.T) {
				t.Parallel()
				checkRow(t, r, code)
			})
		}
	}
}

func checkRow(t *testing.T, r row, code wechat.Code) {
	t.Helper()
	v := worker.Judge(refusal(code), worker.Attempt{N: 1}, worker.Policy{})
	if v.Action != r.first || v.State != r.state {
		t.Errorf("first attempt: %v %q, want %v %q: %s", v.Action, v.State, r.first, r.state, r.why)
	}
	if v.Hold.Reason != r.hold || v.Suppress.For != r.suppress {
		t.Errorf("hold %q, suppress %v; want %q, %v: %s", v.Hold.Reason, v.Suppress.For, r.hold, r.suppress, r.why)
	}
	if v.Hold.Reason != "" && (v.Counts || v.Healthy || v.Hold.Wait == 0 || v.Hold.Detail == "") {
		t.Errorf("a hold costs no attempt, shows no health, and has waits and a text: %+v", v)
	}
	if v.Errcode != code || !v.Reached || v.Reason == "" {
		t.Errorf("errcode %d, reached %v, reason %q", v.Errcode, v.Reached, v.Reason)
	}
	last := worker.Judge(refusal(code), worker.Attempt{N: 99, Open: 8*time.Minute - 10*time.Second}, worker.Policy{})
	if r.last == "" && last.Action != worker.Defer {
		t.Errorf("attempt 99: %v, want that it waits for ever: %s", last.Action, r.why)
	}
	if r.last != "" && (last.Action != worker.Discard || last.State != r.last) {
		t.Errorf("attempt 99: %v %q, want the end %q: %s", last.Action, last.State, r.last, r.why)
	}
}

func TestVerdictTableIsComplete(t *testing.T) {
	t.Parallel()
	known := map[wechat.Code]bool{wechat.CodeOK: true} // no error
	kinds := map[wechat.Kind]bool{wechat.KindOK: true}
	for _, r := range rows() {
		for _, code := range r.codes {
			if known[code] {
				t.Errorf("errcode %d is there twice", code)
			}
			known[code], kinds[code.Kind()] = true, true
		}
	}
	for _, code := range wechat.Codes() {
		if !known[code] {
			t.Errorf("errcode %d (%s) has no row: say what a send does when it meets it", code, code.Name())
		}
	}
	for _, kind := range wechat.Kinds() {
		if !kinds[kind] {
			t.Errorf("no row is of kind %v", kind)
		}
	}
}

func TestVerdictSent(t *testing.T) {
	t.Parallel()
	v := worker.Judge(nil, worker.Attempt{N: 1, Replay: true}, worker.Policy{})
	if v.Action != worker.Sent || v.State != ledger.Accepted || !v.Reached || !v.Healthy || v.Ambiguous {
		t.Errorf("got %+v", v)
	}
}

func TestVerdictTransport(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		err     error
		attempt worker.Attempt
		want    worker.Verdict
	}{
		{
			"no connection is no attempt", transport(0, false, errors.New("refused")),
			worker.Attempt{N: 3},
			worker.Verdict{Action: worker.Defer, State: ledger.Queued, After: 5 * time.Second, Outage: true},
		},
		{
			"no connection, after an open attempt", transport(0, false, errors.New("refused")),
			worker.Attempt{N: 3, Replay: true},
			worker.Verdict{Action: worker.Defer, State: ledger.Queued, After: 5 * time.Second, Outage: true, Ambiguous: true},
		},
		{
			"lost answer", transport(0, true, errors.New("reset")),
			worker.Attempt{N: 1},
			worker.Verdict{Action: worker.Retry, State: ledger.Retrying, After: time.Second, Outage: true, Ambiguous: true, Reached: true, Counts: true},
		},
		{
			"HTTP 502", transport(502, true, errors.New("bad gateway")),
			worker.Attempt{N: 2},
			worker.Verdict{Action: worker.Retry, State: ledger.Retrying, After: 2 * time.Second, Outage: true, Ambiguous: true, Reached: true, Counts: true},
		},
		{
			"HTTP 403 arrived but was not acted on", transport(403, false, errors.New("forbidden")),
			worker.Attempt{N: 1},
			worker.Verdict{Action: worker.Retry, State: ledger.Retrying, After: time.Second, Outage: true, Reached: true, Counts: true},
		},
		{
			"HTTP 403 for ever", transport(403, false, errors.New("forbidden")),
			worker.Attempt{N: 6},
			worker.Verdict{Action: worker.Discard, State: ledger.Dead, Outage: true, Reached: true, Counts: true},
		},
		{
			"lost answer, after the backoff", transport(0, true, errors.New("reset")),
			worker.Attempt{N: 6, Replay: true, Open: time.Minute},
			worker.Verdict{Action: worker.Retry, State: ledger.Retrying, After: 30 * time.Second, Outage: true, Ambiguous: true, Reached: true, Counts: true},
		},
		{
			"lost answer, near the end of the window", transport(0, true, errors.New("reset")),
			worker.Attempt{N: 9, Replay: true, Open: 7*time.Minute + 21*time.Second},
			worker.Verdict{Action: worker.Retry, State: ledger.Retrying, After: 26 * time.Second, Outage: true, Ambiguous: true, Reached: true, Counts: true},
		},
		{
			"lost answer, beyond the window, at least once", transport(0, true, errors.New("reset")),
			worker.Attempt{N: 29, Replay: true, Open: 20 * time.Minute, AtLeastOnce: true},
			worker.Verdict{Action: worker.Retry, State: ledger.Retrying, After: 30 * time.Second, Outage: true, Ambiguous: true, Reached: true, Counts: true},
		},
		{
			"lost answer, at least once has an end too", transport(0, true, errors.New("reset")),
			worker.Attempt{N: 30, Replay: true, Open: 20 * time.Minute, AtLeastOnce: true},
			worker.Verdict{Action: worker.Discard, State: ledger.Unknown, Outage: true, Ambiguous: true, Reached: true},
		},
		{
			"lost answer, at the end of the window", transport(0, true, errors.New("reset")),
			worker.Attempt{N: 10, Replay: true, Open: 8*time.Minute - 10*time.Second},
			worker.Verdict{Action: worker.Discard, State: ledger.Unknown, Outage: true, Ambiguous: true, Reached: true},
		},
		{
			"the next one would be outside the window", transport(0, true, errors.New("reset")),
			worker.Attempt{N: 2, Replay: true, Open: 8*time.Minute - time.Second},
			worker.Verdict{Action: worker.Discard, State: ledger.Unknown, Outage: true, Ambiguous: true, Reached: true, Counts: true},
		},
		{
			"at least once goes on", transport(0, true, errors.New("reset")),
			worker.Attempt{N: 2, Replay: true, Open: 8*time.Minute - time.Second, AtLeastOnce: true},
			worker.Verdict{Action: worker.Retry, State: ledger.Retrying, After: 2 * time.Second, Outage: true, Ambiguous: true, Reached: true, Counts: true},
		},
		{
			"the process stops", transport(0, true, context.Canceled),
			worker.Attempt{N: 6, Stopping: true},
			worker.Verdict{Action: worker.Defer, State: ledger.Queued, Ambiguous: true, Reached: true},
		},
		{
			"the process stops before the write", transport(0, false, context.Canceled),
			worker.Attempt{N: 6, Stopping: true},
			worker.Verdict{Action: worker.Defer, State: ledger.Queued},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := worker.Judge(tt.err, tt.attempt, worker.Policy{})
			if got.Reason == "" {
				t.Error("no reason")
			}
			got.Reason, got.Detail = "", ""
			if diff := compare(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An outage burns no attempt: the gate closes instead.
func TestVerdictOutage(t *testing.T) {
	t.Parallel()
	for _, err := range []error{refusal(-1), transport(0, true, errors.New("reset")), transport(0, false, errors.New("refused"))} {
		v := worker.Judge(err, worker.Attempt{N: 6, Outage: true}, worker.Policy{})
		if v.Action != worker.Defer || v.Counts || v.After != 0 || v.Hold.Reason != ratelimit.ReasonBreaker {
			t.Errorf("%v: got %+v", err, v)
		}
	}
}

// P4: 40241 may mean another message of the same content. Only a replay after the
// minute of which WeChat speaks can tell; what does not clear up ends as unknown.
func TestVerdictSameContentLeavesAReplayOpen(t *testing.T) {
	t.Parallel()
	own := worker.Judge(refusal(wechat.CodeDuplicate), worker.Attempt{N: 2, Replay: true}, worker.Policy{})
	if own.Action != worker.Retry || !own.Ambiguous || own.After < time.Minute {
		t.Errorf("on a replay: %+v, want another one after a minute, the outcome still open", own)
	}
	last := worker.Judge(refusal(wechat.CodeDuplicate), worker.Attempt{N: 9, Replay: true, Open: 7*time.Minute + 30*time.Second}, worker.Policy{})
	if last.Action != worker.Discard || last.State != ledger.Unknown {
		t.Errorf("at the end of the window: %v %v, want unknown", last.Action, last.State)
	}
	// An earlier attempt that surely did not arrive leaves no replay.
	other := worker.Judge(refusal(wechat.CodeDuplicate), worker.Attempt{N: 2}, worker.Policy{})
	if other.State != ledger.Rejected {
		t.Errorf("of a fresh message: %v, want rejected", other.State)
	}
}

// A refusal does not tell what became of an attempt before it: what a recipient
// may have seen is never called rejected.
func TestVerdictRefusedReplay(t *testing.T) {
	t.Parallel()
	for _, r := range rows() {
		if r.last != ledger.Rejected {
			continue
		}
		for _, code := range r.codes {
			want := ledger.Unknown
			switch code.Kind() { //nolint:exhaustive // all others are not known
			case wechat.KindDuplicate:
				continue // says what became of it
			case wechat.KindMessage:
				want = ledger.Rejected // the same body was as wrong before
				if code == 43002 || code == 44002 {
					want = ledger.Unknown // the body of this attempt was lost on the way
				}
			}
			v := worker.Judge(refusal(code), worker.Attempt{N: 7, Replay: true}, worker.Policy{})
			if v.Action != worker.Discard || v.State != want || !v.Healthy || v.Suppress.For != r.suppress {
				t.Errorf("%d: got %+v, want it to end as %s", code, v, want)
			}
		}
	}
}

func TestVerdictFrequency(t *testing.T) {
	t.Parallel()
	err := refusal(wechat.CodeTooFrequent)
	var waits []time.Duration
	for n := 1; ; n++ {
		v := worker.Judge(err, worker.Attempt{N: n}, worker.Policy{})
		if v.Action == worker.Discard {
			break
		}
		waits = append(waits, v.After)
	}
	if want := []time.Duration{time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour}; !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	v := worker.Judge(err, worker.Attempt{N: 1, Left: 59 * time.Minute}, worker.Policy{})
	if v.State != ledger.Dead {
		t.Errorf("with 59 minutes left: %v, want dead at once", v.State)
	}
}

// An unknown code may be WeChat's word for "I have this already", or a
// trouble that passes: while the window is open, the next replay may tell.
func TestVerdictUnknownCodeOnReplay(t *testing.T) {
	t.Parallel()
	v := worker.Judge(refusal(123456), worker.Attempt{N: 3, Replay: true, Open: 10 * time.Second}, worker.Policy{})
	if v.Action != worker.Retry || v.After != 30*time.Second {
		t.Errorf("10 s after the open attempt: %v after %s, want a retry after 30 s", v.Action, v.After)
	}
	v = worker.Judge(refusal(123456), worker.Attempt{N: 15, Replay: true, Open: 8*time.Minute - 10*time.Second}, worker.Policy{})
	if v.Action != worker.Discard || v.State != ledger.Unknown {
		t.Errorf("at the end of the window: %v %v, want unknown", v.Action, v.State)
	}
}

func TestVerdictToken(t *testing.T) {
	t.Parallel()
	retryAt := time.Now().Add(3 * time.Minute)
	fetch := func(code wechat.Code) error { return &wechat.Error{Op: "/cgi-bin/stable_token", Code: code, Msg: "x"} }
	tests := []struct {
		name     string
		err      error
		reached  bool
		at       time.Time
		contains string
	}{
		{"the store says until when", &wechat.TokenError{Err: &tokenstore.UnavailableError{
			Cause: fetch(40125), RetryAt: retryAt, Remedy: "reset the secret",
		}}, false, retryAt, "reset the secret"},
		{"busy at the token is not busy at the send", &wechat.TokenError{Err: fetch(-1)}, false, time.Time{}, "errcode -1"},
		{"another source's error", &wechat.TokenError{Err: errors.New("https://x?secret=s3cr3t")}, false, time.Time{}, "no access token"},
		{"no other token to give", &wechat.TokenRefusedError{Last: refusal(40001)}, true, time.Time{}, "errcode 40001"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := worker.Judge(tt.err, worker.Attempt{N: 4}, worker.Policy{})
			if v.Action != worker.Defer || v.Counts || v.Ambiguous || v.Reached != tt.reached {
				t.Errorf("got %+v", v)
			}
			if v.Hold.Reason != ratelimit.ReasonToken || !v.Hold.At.Equal(tt.at) || !strings.Contains(v.Hold.Detail, tt.contains) {
				t.Errorf("hold %+v", v.Hold)
			}
			if strings.Contains(v.Reason+v.Hold.Detail, "s3cr3t") {
				t.Error("the source's own text came through")
			}
		})
	}
}

// WeChat refuses this worker's address, on a send or on the call for a token: the
// worker is suspended, the account's gate stays open.
func TestVerdictRefusedAddress(t *testing.T) {
	t.Parallel()
	for _, code := range []wechat.Code{40164, 61004, 45035} {
		e := &wechat.Error{Op: wechat.SendPath, Code: code, Msg: "requestIP:203.0.113.9"}
		for name, err := range map[string]error{
			"send":  e,
			"token": &wechat.TokenError{Err: &tokenstore.UnavailableError{Cause: &wechat.Error{Op: "/cgi-bin/token", Code: code, Msg: e.Msg}}},
		} {
			v := worker.Judge(err, worker.Attempt{N: 4, Replay: true}, worker.Policy{})
			if v.Action != worker.Defer || v.After != 0 || v.Counts || !v.Ambiguous || v.Hold.Reason != "" || v.Errcode != code {
				t.Errorf("%s %d: %+v, want a deferral without a hold", name, code, v)
			}
			if v.Address == nil || v.Address.IP() != "203.0.113.9" || v.Reached != (name == "send") {
				t.Errorf("%s %d: address %v, reached %v", name, code, v.Address, v.Reached)
			}
		}
	}
}

// The permit of a replay was not to be had: the first answer stands, and no
// pause is asked for, since the next try has the new token.
func TestVerdictNoPermitForReplay(t *testing.T) {
	t.Parallel()
	err := errors.Join(refusal(40001), fmt.Errorf("%w: closed", worker.ErrNoPermit))
	v := worker.Judge(err, worker.Attempt{N: 1}, worker.Policy{})
	if v.Action != worker.Defer || v.Hold.Reason != "" || !v.Reached || v.Errcode != 40001 {
		t.Errorf("got %+v", v)
	}
}

// snd-09: the waits and their sum are far below the replay window.
func TestSnd09Backoff(t *testing.T) {
	t.Parallel()
	var sum time.Duration
	for _, d := range worker.Backoff() {
		sum += d + d/2
	}
	if sum > time.Minute {
		t.Errorf("the longest backoff takes %v, more than a minute", sum)
	}
	seen := make(map[time.Duration]bool)
	for range 100 {
		d := worker.Jitter(time.Second)
		if d < time.Second || d > 1500*time.Millisecond {
			t.Fatalf("jitter made %v of 1s", d)
		}
		seen[d] = true
	}
	if len(seen) < 50 {
		t.Errorf("100 waits have %d different lengths: no jitter", len(seen))
	}
}
