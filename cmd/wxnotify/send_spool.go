package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wxnotify/wxnotify/internal/intake"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// spoolInMemory is how many messages of a file are kept in memory while it is
// checked: 64 MB at most. More are kept in a temporary file.
const spoolInMemory = 4096

// spool keeps the messages of a file until all of it was checked. The zero value is
// empty.
type spool struct {
	items []item
	file  *os.File // has the messages that follow those of items
	w     *bufio.Writer
}

// add keeps one message.
func (s *spool) add(it item) error {
	if len(s.items) < spoolInMemory {
		s.items = append(s.items, it)
		return nil
	}
	if s.file == nil {
		file, err := os.CreateTemp("", "wxnotify-send-*") // for this user only
		if err != nil {
			return fmt.Errorf("a file of more than %d messages needs a temporary file while it is checked: set TMPDIR to a folder that can be written, "+
				"or use --continue-on-error: %w", spoolInMemory, err)
		}
		s.file, s.w = file, bufio.NewWriter(file)
		_ = os.Remove(file.Name()) // where the system allows it, it has no name from now on
	}
	line, err := spooled(it)
	if err == nil {
		_, err = s.w.Write(line)
	}
	if err != nil {
		return fmt.Errorf("write the temporary file: %w", err)
	}
	return nil
}

// spooledLine is a message in the form that intake.Parse reads.
type spooledLine struct {
	ID          string             `json:"id"`
	Class       producer.ClassName `json:"class,omitempty"`
	User        string             `json:"user,omitempty"`
	NotBefore   time.Time          `json:"not_before,omitzero"`
	NotAfter    time.Time          `json:"not_after,omitzero"`
	AtLeastOnce bool               `json:"at_least_once,omitempty"`
	Message     json.RawMessage    `json:"message"`
}

// spooled is the number of the line, the form of the message and its JSON.
func spooled(it item) ([]byte, error) {
	r := it.request
	body, err := wechat.MarshalBody(r.Message.Message)
	if err != nil {
		return nil, err
	}
	line, err := json.Marshal(spooledLine{
		ID: r.ID, Class: r.Terms.Class, User: r.Terms.User, NotBefore: r.Terms.NotBefore, NotAfter: r.Terms.NotAfter,
		AtLeastOnce: r.Terms.AtLeastOnce, Message: body,
	})
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return fmt.Appendf(nil, "%d %t %s\n", it.line, r.Bare, line), nil
}

// source returns what was kept.
func (s *spool) source() (source, error) {
	var rest *bufio.Reader
	if s.file != nil {
		err := s.w.Flush()
		if err == nil {
			_, err = s.file.Seek(0, io.SeekStart)
		}
		if err != nil {
			return nil, fmt.Errorf("read the temporary file: %w", err)
		}
		rest = bufio.NewReader(s.file)
	}
	at := 0
	return func() (item, error) {
		if at < len(s.items) {
			at++
			return s.items[at-1], nil
		}
		if rest == nil {
			return item{}, io.EOF
		}
		return unspooled(rest)
	}, nil
}

func unspooled(in *bufio.Reader) (item, error) {
	text, err := in.ReadString('\n')
	if errors.Is(err, io.EOF) && text == "" {
		return item{}, io.EOF
	} else if err != nil {
		return item{}, fmt.Errorf("read the temporary file: %w", err)
	}
	number, text, _ := strings.Cut(text, " ")
	bare, text, _ := strings.Cut(text, " ")
	it := item{}
	if it.line, err = strconv.Atoi(number); err == nil {
		it.request, err = intake.Parse([]byte(text))
	}
	if err != nil {
		return item{}, fmt.Errorf("read the temporary file: %w", err)
	}
	it.request.Bare = bare == "true"
	return it, nil
}

// close deletes the temporary file.
func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name()) // where it kept its name
	}
}
