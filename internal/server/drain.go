package server

import (
	"errors"
	"io"
	"net/http"
)

const (
	// defaultDrain is what is read of a body behind an answer that did not wait for it: as
	// much as a caller may send by mistake, such as a file in place of a message.
	defaultDrain = 64 << 20
	// publicDrain is the same for calls of which nobody knows who made them.
	publicDrain = 1 << 20
)

// drained reads up to most bytes of what h leaves of a body and drops them. Most clients
// read the answer after they have sent their body: when the connection is closed before,
// they report a reset in place of the answer that says what was wrong. The listener's time
// for reading bounds this, too.
func drained(h http.Handler, most int64) http.Handler {
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
			_, _ = io.CopyN(io.Discard, body.ReadCloser, most)
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
