package console

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	// liveEvery is the time between two events of a stream.
	liveEvery = 2 * time.Second
	// streamLife is when a stream ends; the browser opens another one.
	streamLife = 5 * time.Minute
	// maxStreams bounds the streams of all browsers.
	maxStreams = 32
)

// stream sends the changing part of a page as server-sent events: HTML, which the script
// puts in place of what is there.
func (c *Console) stream(r *request) error {
	select {
	case c.streams <- struct{}{}:
		defer func() { <-c.streams }()
	default:
		return &faultError{status: http.StatusServiceUnavailable, text: "Too many live pages are open: reload this one by hand."}
	}
	head := r.w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("X-Accel-Buffering", "no") // nginx passes each event on at once
	control := http.NewResponseController(r.w)
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	end := time.NewTimer(streamLife)
	defer end.Stop()
	for {
		html, err := c.fragment(r)
		if err != nil {
			return err
		}
		_ = control.SetWriteDeadline(time.Now().Add(10 * liveEvery)) // the server's would end the stream
		if err := writeEvent(r.w, html); err != nil {
			return nil
		}
		if err := control.Flush(); err != nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-end.C:
			return nil
		case <-r.who.Stop:
			return nil
		case <-r.ctx().Done():
			return nil
		}
	}
}

// fragment renders the changing part of the page that the query names.
func (c *Console) fragment(r *request) (string, error) {
	name := "overview"
	var data any
	if r.Form.Get("page") == "runs" {
		name, data = "runs", c.runs.list()
	} else {
		data = c.overviewOf(r)
	}
	var body bytes.Buffer
	if err := c.pages[r.lang][name].ExecuteTemplate(&body, "live", c.pageOf(r, name, "", data)); err != nil {
		return "", fmt.Errorf("console: live %s: %w", name, err)
	}
	return body.String(), nil
}

// writeEvent writes one event of several lines.
func writeEvent(w http.ResponseWriter, text string) error {
	var out strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		out.WriteString("data: " + strings.TrimRight(line, "\r") + "\n")
	}
	_, err := w.Write([]byte(out.String() + "\n"))
	return err //nolint:wrapcheck // ends the stream
}
