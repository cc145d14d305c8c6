package main

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/wxnotify/wxnotify/internal/intake"
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
	lines *gob.Encoder // writes to w
}

// spooledLine is a message in the temporary file.
type spooledLine struct {
	Number  int
	Request intake.Request
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
		s.lines = gob.NewEncoder(s.w)
		_ = os.Remove(file.Name()) // where the system allows it, it has no name from now on
	}
	if err := s.lines.Encode(spooledLine{it.line, it.request}); err != nil {
		return fmt.Errorf("write the temporary file: %w", err)
	}
	return nil
}

// source returns what was kept.
func (s *spool) source() (source, error) {
	var rest *gob.Decoder
	if s.file != nil {
		err := s.w.Flush()
		if err == nil {
			_, err = s.file.Seek(0, io.SeekStart)
		}
		if err != nil {
			return nil, fmt.Errorf("read the temporary file: %w", err)
		}
		rest = gob.NewDecoder(bufio.NewReader(s.file))
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
		var line spooledLine
		if err := rest.Decode(&line); errors.Is(err, io.EOF) {
			return item{}, io.EOF
		} else if err != nil {
			return item{}, fmt.Errorf("read the temporary file: %w", err)
		}
		return item{line: line.Number, request: line.Request}, nil
	}, nil
}

// close deletes the temporary file.
func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name()) // where it kept its name
	}
}
