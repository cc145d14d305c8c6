package server

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// maxDrain and drainTime bound what is read of a body behind an answer that did not wait for
// it: as much as a caller may send by mistake, such as a file in place of a message.
const (
	maxDrain  = 64 << 20
	drainTime = 5 * time.Second
)

// drained reads what h leaves of a body and drops it. Most clients read the answer after they
// have sent their body: when the connection is closed before, they report a reset in place
// of the answer that says what was wrong. A listener that strangers reach does without: they
// would hold its connections.
func drained(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			h.ServeHTTP(w, r)
			return
		}
		body := &watchedBody{ReadCloser: r.Body}
		req := r.WithContext(r.Context()) // net/http looks at the body of its own request
		req.Body = body
		h.ServeHTTP(w, req)
		waits := r.Header.Get("Expect") != "" && !body.read // for leave to send its body, which it does not get
		if body.err == nil && !waits {
			answer := http.NewResponseController(w)
			_ = answer.EnableFullDuplex() // else net/http waits for a part of the body first
			_ = answer.Flush()            // some read it before they send the rest
			_ = answer.SetReadDeadline(time.Now().Add(drainTime))
			_, _ = io.CopyN(io.Discard, body.ReadCloser, maxDrain)
		}
	})
}

// watchedBody knows whether its body was read, and to which end.
type watchedBody struct {
	io.ReadCloser

	read bool
	err  error // the first
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.read = true
	n, err := b.ReadCloser.Read(p)
	b.err = errors.Join(b.err, err)
	return n, err //nolint:wrapcheck // the handler asks for io.EOF
}
