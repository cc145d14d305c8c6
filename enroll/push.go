package enroll

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/wxnotify/wxnotify/wechat"
)

const (
	// maxPush bounds a push; WeChat's own have a few kilobytes.
	maxPush = 64 << 10
	// drainFor and drainMost bound what is read of a refused body.
	drainFor  = time.Second
	drainMost = 4 << 20
	// answerWithin is when a push is acknowledged whatever else goes on: WeChat
	// hangs up after 5 s and pushes again (docs: 被动回复用户消息).
	answerWithin = 4500 * time.Millisecond
	// success is the answer that stops WeChat from pushing again.
	success = "success"
)

// verify answers WeChat's check of the server configuration (docs: 接入概述).
func (s *Service) verify(w http.ResponseWriter, r *http.Request, a *account) {
	echo, err := a.Callback.Echo(r.URL.Query())
	if err != nil {
		s.refuse(w, r, a, err)
		return
	}
	if wechat.Forwarded(r.URL.Query()) {
		s.refuse(w, r, a, errForwarded)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), redisWait)
	defer cancel()
	nonce, keep := a.Callback.Nonce(r.URL.Query())
	if err := a.inbox.verified(ctx, nonce, keep); err != nil {
		s.log.warn("take", "the server configuration cannot be verified: Redis fails", zap.String("account", a.AppID), zap.Error(err))
		answer(w, http.StatusServiceUnavailable, "try again")
		return
	}
	s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindVerified})
	s.log.info("verified", "WeChat verified the server configuration", zap.String("account", a.AppID))
	answer(w, http.StatusOK, echo)
}

// errForwarded refuses a query that was signed for the business's own server: it may
// be in that server's log, and in plain mode it would be valid with any body.
var errForwarded = errors.New("the query was signed by wxnotify for FORWARD_URL")

// receive takes a push: authenticated, written once, acknowledged.
func (s *Service) receive(w http.ResponseWriter, r *http.Request, a *account) {
	began := time.Now()
	query := r.URL.Query()
	err := a.Callback.CheckQuery(query)
	if err == nil && wechat.Forwarded(query) {
		err = errForwarded
	}
	if err != nil {
		answerEarly(w)
		s.refuse(w, r, a, err)
		drainBody(w, r)
		return
	}
	body, err := readPush(w, r)
	if err != nil {
		s.refuseBody(w, r, a, err)
		return
	}
	kind := KindPush
	push, err := a.Callback.Open(query, body)
	var bad *wechat.CallbackError
	switch {
	case errors.As(err, &bad) && bad.Push() != nil:
		kind, push = KindUnreadable, bad.Push()
		s.log.warn("unreadable "+a.AppID, "a push of WeChat cannot be read; it is acknowledged, and forwarded as it came",
			zap.String("account", a.AppID), zap.String("cause", bad.Detail), zap.Int("bytes", len(push.Document)), zap.String("digest", push.Digest[:16]))
	case err != nil:
		s.refuse(w, r, a, err)
		return
	}
	ctx, cancel := context.WithDeadline(r.Context(), began.Add(answerWithin))
	defer cancel()
	result, err := inTime(ctx, func() (pushResult, error) { return a.inbox.take(ctx, push, entryOf(push, began)) })
	switch {
	case err != nil:
		s.log.warn("take", "a push is not acknowledged, WeChat will come again: Redis fails", zap.String("account", a.AppID), zap.Error(err))
		answer(w, http.StatusServiceUnavailable, "try again")
		return
	case result == inboxFull:
		s.log.warn("full", "a push is not acknowledged: the inbox is full; run more enroll processes", zap.String("account", a.AppID))
		answer(w, http.StatusServiceUnavailable, "try again")
		return
	case result == pushReplayed:
		s.countRefusal(a, "replay", nil)
		answer(w, http.StatusForbidden, "this query has been used for another body")
		return
	case result == pushSeen:
		kind = KindRepeated
	}
	reply := s.forwardOnce(ctx, a, push, began)
	name := knownName(push.Event)
	if bad != nil {
		name = "unreadable"
	}
	s.cfg.OnEvent(Event{Account: a.AppID, Kind: kind, Name: name, Took: time.Since(began)})
	s.acknowledge(w, a, push, reply)
}

// forwardOnce forwards a push that is not ours alone, once, and returns the business's
// passive reply.
func (s *Service) forwardOnce(ctx context.Context, a *account, push *wechat.Push, began time.Time) []byte {
	if a.Forward == nil || push.Event.Is(wechat.EventTemplateFinished) {
		return nil
	}
	first, err := inTime(ctx, func() (bool, error) { return a.inbox.forwardOnce(ctx, push, began) })
	if err != nil {
		s.log.warn("forward "+a.AppID, "a push was not forwarded: Redis fails", zap.String("account", a.AppID), zap.Error(err))
		return nil
	}
	if !first {
		return nil
	}
	return s.forward(ctx, a, push)
}

// refuseBody answers a body that is too long or does not come.
func (s *Service) refuseBody(w http.ResponseWriter, r *http.Request, a *account, err error) {
	defer drainBody(w, r)
	status, text := http.StatusBadRequest, "the body could not be read"
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		s.countRefusal(a, "size", nil)
		status, text = http.StatusRequestEntityTooLarge, "the body is longer than 64 KB"
	}
	if !s.overLimit(w, r) {
		answer(w, status, text)
	}
}

// readPush reads the body, whose length is checked first.
func readPush(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxPush {
		answerEarly(w)
		return nil, &http.MaxBytesError{Limit: maxPush}
	}
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxPush)) //nolint:wrapcheck // the caller answers it
}

// answerEarly lets the answer go out before the body is read; the connection is
// closed afterwards.
func answerEarly(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/2 and test recorders need it not
}

// drainBody drops what is left of a refused body, for a second at most, so that the
// client reads the answer and not that the connection was reset.
func drainBody(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.Flush()
	_ = control.SetReadDeadline(time.Now().Add(drainFor))
	_, _ = io.CopyN(io.Discard, r.Body, drainMost) // it is of no use
}

// inTime waits for f no longer than ctx lets it: a Redis client waits for its own
// timeouts. What f does late is done all the same, and WeChat's repetition of the
// push finds it so.
func inTime[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := f()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// acknowledge relays the business's passive reply, or says success.
func (s *Service) acknowledge(w http.ResponseWriter, a *account, push *wechat.Push, reply []byte) {
	sealed, err := a.Callback.Seal(push, reply)
	if err != nil {
		s.log.warn("seal", "a reply of the business's own server is not relayed; WeChat got success instead", zap.String("account", a.AppID), zap.Error(err))
		sealed = nil
	}
	if len(sealed) == 0 || string(sealed) == success {
		answer(w, http.StatusOK, success)
		return
	}
	secure(w)
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	_, _ = w.Write(sealed) // WeChat may have hung up
}

// refuse answers what does not come from WeChat, or not as configured. A client
// address that is refused often gets its answers late, then 429.
func (s *Service) refuse(w http.ResponseWriter, r *http.Request, a *account, err error) {
	var bad *wechat.CallbackError
	fault := "other"
	switch {
	case errors.As(err, &bad):
		fault = string(bad.Fault)
	case errors.Is(err, errForwarded):
		fault = "forwarded"
	}
	s.countRefusal(a, fault, err)
	s.delayRefusal(w, r)
	if s.overLimit(w, r) {
		return
	}
	answer(w, http.StatusForbidden, "refused: "+fault)
}

// countRefusal counts a refusal, and logs the first of its kind in a while: who can
// reach the endpoint can make many.
func (s *Service) countRefusal(a *account, fault string, err error) {
	s.cfg.OnEvent(Event{Account: a.AppID, Kind: KindRefused, Name: fault})
	s.log.warn("refused "+a.AppID+" "+fault, "a call of the callback address was refused",
		zap.String("account", a.AppID), zap.String("fault", fault), zap.Error(err))
}

// entryOf is what the inbox keeps of a push; nil for one that is not ours.
func entryOf(p *wechat.Push, arrived time.Time) *entry {
	e := p.Event
	out := &entry{Name: knownName(e), OpenID: e.OpenID, At: e.CreatedAt.Unix()}
	out.Late = max(arrived.Sub(e.CreatedAt), p.SignedAt.Sub(e.CreatedAt)) >= repeatAfter
	if isFollow(e) && e.OpenID == "" {
		return nil // it names no follower
	}
	switch out.Name {
	case wechat.EventTemplateFinished:
		out.MsgID, out.Status, out.To = e.MsgID, e.Status, e.To
	case wechat.EventSubscribe, wechat.EventScan:
		out.Scene = e.Scene()
	case wechat.EventUnsubscribe:
	case wechat.EventAuthorizationRevoked, wechat.EventAuthorizationCancelled:
		out.Subject = e.Subject
	default:
		return nil
	}
	return out
}

// knownName is the event's name as we write it: a bounded set, fit for metrics.
func knownName(e *wechat.Event) string {
	for _, name := range []string{
		wechat.EventTemplateFinished, wechat.EventSubscribe, wechat.EventUnsubscribe, wechat.EventScan,
		wechat.EventAuthorizationRevoked, wechat.EventAuthorizationCancelled,
	} {
		if e.Is(name) {
			return name
		}
	}
	if e.MsgType != wechat.MsgTypeEvent {
		return "message"
	}
	return "other"
}
