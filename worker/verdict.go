package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wxnotify/wxnotify/internal/ledger"
	"github.com/wxnotify/wxnotify/ratelimit"
	"github.com/wxnotify/wxnotify/wechat"
	"github.com/wxnotify/wxnotify/wechat/tokenstore"
)

// Action is what happens to the message after an attempt.
type Action int

// The actions.
const (
	Sent    Action = iota // WeChat has it
	Retry                 // a failure: counts against the budget, tried again later
	Defer                 // not this message's fault: costs no attempt
	Discard               // the end, as Verdict.State names it
)

// String is the action as logs and metrics show it.
func (a Action) String() string {
	switch a {
	case Sent:
		return "sent"
	case Retry:
		return "retry"
	case Defer:
		return "defer"
	case Discard:
		return "discard"
	default:
		return "unknown"
	}
}

// Attempt is what Judge knows of an attempt beside its error.
type Attempt struct {
	N           int           // attempts that count, this one included
	Replay      bool          // an earlier attempt's outcome is not known
	Open        time.Duration // since the first attempt of unknown outcome
	Left        time.Duration // until the message is too late; zero: no end
	AtLeastOnce bool          // may be sent again after the replay window
	Outage      bool          // the breaker says that WeChat is down
	Stopping    bool          // the process cancelled the attempt
}

// Hold asks for the account's gate to be closed. Wait is how long until a probe;
// the gate makes it longer with each probe that fails. At overrules it when it
// is later.
type Hold struct {
	Reason ratelimit.Reason // empty: the gate stays as it is
	Detail string           // errcode and remedy, for people
	Wait   time.Duration
	At     time.Time
	// Timed opens the gate when the time has passed, without a probe.
	Timed bool
}

// Suppression keeps further messages from a recipient. Zero For: none.
type Suppression struct {
	For      time.Duration
	Template bool // only messages of this template
}

// Verdict is what to do after an attempt, and what was learned by it.
type Verdict struct {
	Action  Action
	State   ledger.State
	Errcode wechat.Code
	Reason  string        // a reason of package ledger, or the name of Errcode
	Detail  string        // of Reason; no secret, no openid
	After   time.Duration // of Retry and Defer, before jitter; zero: the head of the queue

	Counts    bool // against the budget
	Ambiguous bool // WeChat may have accepted this attempt or an earlier one
	Reached   bool // the call may have reached WeChat: its permit is spent
	Healthy   bool // the answer shows that WeChat and the account work
	Outage    bool // one more sign that WeChat is down
	Refused   bool // the template was refused: others of it are held back

	// Address is WeChat's refusal of this worker's address; nil: it was not refused.
	// The worker stops, the account does not.
	Address  *wechat.Error
	Hold     Hold
	Suppress Suppression
}

// Judge says what to do after an attempt that ended with err. It is a pure
// function: everything that it depends on is in its arguments.
func Judge(err error, a Attempt, p Policy) Verdict {
	p = p.withDefaults()
	if err == nil {
		return Verdict{Action: Sent, State: ledger.Accepted, Reached: true, Healthy: true}
	}
	if errors.Is(err, ErrNoPermit) {
		return unreplayed(err, a)
	}
	if _, ok := errors.AsType[*wechat.TokenError](err); ok {
		return byToken(err, a)
	}
	if refused, ok := errors.AsType[*wechat.TokenRefusedError](err); ok {
		return refusedToken(refused, a)
	}
	if e, ok := answer(err); ok {
		return byKind(e, a, p)
	}
	if e, ok := lost(err); ok {
		return byTransport(e, a, p)
	}
	if errors.Is(err, errPanic) {
		return Verdict{Reason: ledger.ReasonWorkerFailed, Reached: true, Ambiguous: true}.again(a, p)
	}
	return byToken(err, a)
}

// again retries after the backoff. While it is not known whether WeChat has the
// message, the replays go on until its window closes: giving up sooner would
// call unknown what could still be known.
func (v Verdict) again(a Attempt, p Policy) Verdict {
	if v.Ambiguous && a.N > len(p.Backoff) {
		return v.replay(a, p)
	}
	return v.retry(step(p.Backoff, a.N-1)).within(len(p.Backoff), a, p)
}

// replay comes once more, or not at all when the window would be closed by then,
// the largest random share included. At least once goes on beyond the window.
func (v Verdict) replay(a Attempt, p Policy) Verdict {
	if a.AtLeastOnce {
		if a.N > len(p.Backoff)+overtimeReplays {
			return v.giveUp()
		}
		return v.retry(replayWait)
	}
	left := (p.ReplayWindow - a.Open) * 2 / 3
	if left < lastReplay {
		return v.giveUp()
	}
	return v.retry(min(replayWait, left))
}

func (v Verdict) retry(after time.Duration) Verdict {
	v.Action, v.State, v.Counts, v.After = Retry, ledger.Retrying, true, after
	return v
}

// within ends the retries when they are used up, or when the next one would
// come too late for WeChat to know it as a replay.
func (v Verdict) within(retries int, a Attempt, p Policy) Verdict {
	late := v.Ambiguous && !a.AtLeastOnce && a.Open+v.After > p.ReplayWindow
	if a.N <= retries && !late {
		return v
	}
	return v.giveUp()
}

// giveUp ends the message: unknown when it may have arrived, else dead.
func (v Verdict) giveUp() Verdict {
	v.Action, v.State, v.After = Discard, ledger.Dead, 0
	if v.Ambiguous {
		v.State = ledger.Unknown
	}
	return v
}

// answer is WeChat's answer to a send. Errors of other calls, such as that for
// a token, say nothing about the message.
func answer(err error) (*wechat.Error, bool) {
	e, ok := errors.AsType[*wechat.Error](err)
	return e, ok && e.Op == wechat.SendPath
}

// lost is a send that did not come back with an answer.
func lost(err error) (*wechat.TransportError, bool) {
	e, ok := errors.AsType[*wechat.TransportError](err)
	return e, ok && e.Op == wechat.SendPath
}

// byKind is the table: a row for each kind of errcode (docs: 发送模板消息, 返回码).
func byKind(e *wechat.Error, a Attempt, p Policy) Verdict {
	// A later answer does not tell what became of an earlier attempt.
	v := Verdict{Errcode: e.Code, Reason: e.Code.Name(), Detail: e.Detail(), Reached: true, Ambiguous: a.Replay}
	if e.Code.RefusesAddress() {
		v.Address = e
		return v.wait(0)
	}
	switch e.Kind() {
	case wechat.KindBusy:
		v.Ambiguous, v.Outage = true, true
		return v.fail(a, p)
	case wechat.KindToken:
		return v.wait(0).hold(ratelimit.ReasonToken, tokenPause, e)
	case wechat.KindRate:
		v = v.wait(0).hold(ratelimit.ReasonMinute, time.Minute, e)
		v.Hold.Timed = true
		return v
	case wechat.KindQuota:
		return v.wait(0).hold(ratelimit.ReasonRefused, quotaPause, e)
	case wechat.KindAccount:
		return v.wait(0).hold(ratelimit.ReasonAccount, accountWait(e.Code), e)
	case wechat.KindRecipient:
		v.Suppress.For = suppressFor(e.Code)
		return v.reject()
	case wechat.KindRefused:
		v.Suppress = Suppression{For: 14 * 24 * time.Hour, Template: true}
		return v.reject()
	case wechat.KindMessage:
		// An earlier attempt had the same body and was no better, unless this one's
		// was lost on the way.
		v.Ambiguous = a.Replay && bodyLost(e.Code)
		return v.reject()
	case wechat.KindTemplate:
		return v.template(a, p)
	case wechat.KindDuplicate:
		return v.duplicate(a, p)
	case wechat.KindFrequency:
		return v.frequency(a, p)
	case wechat.KindUnknown, wechat.KindManagement, wechat.KindOK:
		return v.strange(a, p)
	default:
		return v.strange(a, p)
	}
}

// bodyLost names the codes for a request without its method or body, which a proxy
// between us and WeChat may have lost: "POST required" and "empty POST data".
func bodyLost(code wechat.Code) bool { return code == 43002 || code == 44002 }

// fail retries after the backoff, or waits for the gate, without an attempt,
// when WeChat is down.
func (v Verdict) fail(a Attempt, p Policy) Verdict {
	if a.Outage {
		v = v.wait(0)
		v.Hold = Hold{
			Reason: ratelimit.ReasonBreaker, Wait: breakerPause,
			Detail: "WeChat fails: " + v.reason() + "; sending goes on when a probe succeeds",
		}
		return v
	}
	return v.again(a, p)
}

func (v Verdict) wait(d time.Duration) Verdict {
	v.Action, v.State, v.After = Defer, ledger.Queued, d
	return v
}

func (v Verdict) hold(reason ratelimit.Reason, wait time.Duration, e *wechat.Error) Verdict {
	v.Hold = Hold{Reason: reason, Wait: wait, Detail: fmt.Sprintf("errcode %d: %s", e.Code, e.Remedy())}
	return v
}

// reject ends the message with WeChat's answer: rejected, or unknown when an
// earlier attempt may have arrived. It says nothing bad about the account.
func (v Verdict) reject() Verdict {
	v.Action, v.State, v.Counts, v.Healthy = Discard, ledger.Rejected, true, true
	if v.Ambiguous {
		v.State = ledger.Unknown
	}
	return v
}

// template: 40037 was seen for valid templates too, so it gets a second chance.
func (v Verdict) template(a Attempt, p Policy) Verdict {
	v.Refused = true
	if v.Errcode != wechat.CodeInvalidTemplate || a.N > 1 {
		return v.reject()
	}
	v.Healthy = true
	return v.retry(templateWait).within(1, a, p)
}

// duplicate is WeChat's word for the same content to the same recipient within a minute.
// On a replay it may mean the earlier attempt, or another message of the same content:
// only a replay after that minute can tell.
func (v Verdict) duplicate(a Attempt, p Policy) Verdict {
	if !a.Replay {
		return v.reject()
	}
	v.Healthy = true
	return v.retry(sameContentWait).within(len(p.Backoff)+overtimeReplays, a, p)
}

// frequency gives up as soon as the next try would be too late.
func (v Verdict) frequency(a Attempt, p Policy) Verdict {
	waits := frequencyBackoff()
	v.Healthy = true
	v = v.retry(step(waits, a.N-1))
	if a.Left > 0 && v.After >= a.Left {
		return v.giveUp()
	}
	return v.within(len(waits), a, p)
}

// strange is an errcode that is not known at a send. After an attempt of
// unknown outcome it may even be WeChat's word for a replay: only what comes
// later in the window can tell.
func (v Verdict) strange(a Attempt, p Policy) Verdict {
	if v.Ambiguous && a.N > unknownRetries {
		return v.replay(a, p)
	}
	return v.retry(step(p.Backoff, a.N-1)).within(unknownRetries, a, p)
}

// byTransport: a call that surely did not reach WeChat is no attempt; one that
// may have is ambiguous.
func byTransport(e *wechat.TransportError, a Attempt, p Policy) Verdict {
	v := Verdict{Ambiguous: e.Ambiguous || a.Replay, Reached: e.Ambiguous || e.HTTPStatus != 0}
	v.Reason, v.Detail = describe(e)
	if a.Stopping {
		v.Reason, v.Detail = ledger.ReasonStopping, ""
		return v.wait(0)
	}
	v.Outage = true
	if !v.Reached && !a.Outage {
		return v.wait(unreachableWait)
	}
	return v.fail(a, p)
}

// byToken: without a token nothing was sent.
func byToken(err error, a Attempt) Verdict {
	var token *wechat.TokenError
	called := errors.As(err, &token) && token.Called // the first call went out, its replay did not
	v := Verdict{Reason: ledger.ReasonNoToken, Ambiguous: a.Replay, Reached: called}.wait(0)
	if a.Stopping {
		return v
	}
	if e, refused := wechat.AddressRefusal(err); refused {
		v.Errcode, v.Address = e.Code, e
		v.Reason += ": " + e.Code.Name()
		return v
	}
	v.Hold = Hold{Reason: ratelimit.ReasonToken, Wait: tokenPause, Detail: "no access token: see what the token's log says"}
	var e *wechat.Error
	if errors.As(err, &e) {
		v.Errcode = e.Code
		v.Detail = e.Code.Name()
		v.Hold.Detail = fmt.Sprintf("no access token: errcode %d: %s", e.Code, e.Remedy())
	}
	var down *tokenstore.UnavailableError
	switch {
	case errors.As(err, &down): // no process has a token before this
		v.Hold.At = down.RetryAt
		if down.Remedy != "" {
			v.Hold.Detail = "no access token: " + down.Remedy
		}
	case e != nil && e.Kind() == wechat.KindAccount:
		v.Hold.Wait = accountWait(e.Code)
	}
	return v
}

// refusedToken: WeChat refused the next token too, or there was none. Nothing
// of the account can be sent, but the wait starts short: in a war over the
// token our turn comes back soon.
func refusedToken(err *wechat.TokenRefusedError, a Attempt) Verdict {
	v := Verdict{
		Errcode: err.Last.Code, Reason: err.Last.Code.Name(), Detail: err.Last.Detail(), Ambiguous: a.Replay, Reached: true,
	}
	return v.wait(0).hold(ratelimit.ReasonToken, tokenPause, err.Last)
}

// unreplayed: the token was refused, and the quota has no call left for a
// second try with the new one.
func unreplayed(err error, a Attempt) Verdict {
	code, _ := wechat.CodeOf(err)
	return Verdict{
		Errcode: code, Reason: ledger.ReasonNoPermit,
		Reached: true, Ambiguous: a.Replay,
	}.wait(tokenWait)
}

// reason is Reason with its detail, for logs.
func (v Verdict) reason() string { return join(v.Reason, v.Detail) }

func join(reason, detail string) string {
	if detail == "" {
		return reason
	}
	return reason + ": " + detail
}

// describe has our own words only: the cause's may hold anything.
func describe(e *wechat.TransportError) (reason, detail string) {
	switch {
	case e.HTTPStatus == 200:
		return ledger.ReasonUnreadable, ""
	case e.HTTPStatus != 0:
		return ledger.ReasonHTTP, fmt.Sprintf("HTTP %d", e.HTTPStatus)
	case !e.Ambiguous:
		return ledger.ReasonUnreachable, ""
	case errors.Is(e, context.DeadlineExceeded):
		return ledger.ReasonNoAnswer, ""
	default:
		return ledger.ReasonLost, ""
	}
}
