package auditlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Chain is what was read of one chain.
type Chain struct {
	ID    string    `json:"chain"`
	First int64     `json:"first"` // number of its first line that was read; above 1: the lines before were not read
	Last  int64     `json:"last"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Hash  string    `json:"hash"` // of the last line
}

// BrokenError names the first line that does not continue its chain.
type BrokenError struct {
	Line   int // of its file, from 1
	Reason error
}

func (e *BrokenError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Reason) }

func (e *BrokenError) Unwrap() error { return e.Reason }

// The reasons of a BrokenError.
var (
	ErrNotALine = errors.New("is not a line of an audit log")
	ErrChanged  = errors.New("was changed: its hash is not that of its text")
	ErrMissing  = errors.New("does not follow the line of its chain before it: lines were removed, added or moved")
)

// Verifier reads lines of files in their order. The zero value is ready for use.
type Verifier struct {
	chains []*Chain
	expect string
	found  bool
}

// Expect names a hash that one of the lines must have.
func (v *Verifier) Expect(hash string) { v.expect = strings.ToLower(hash) }

// Missing reports whether no line had the expected hash.
func (v *Verifier) Missing() bool { return v.expect != "" && !v.found }

// Chains are those that were read, in the order of their first lines.
func (v *Verifier) Chains() []*Chain { return v.chains }

// Read reads one file and returns how many lines hold. The error is a *BrokenError, or
// that of r.
func (v *Verifier) Read(r io.Reader) (lines int, err error) {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) == 0 && errors.Is(err, io.EOF) {
			return lines, nil
		}
		if errors.Is(err, bufio.ErrBufferFull) || errors.Is(err, io.EOF) {
			return lines, &BrokenError{lines + 1, ErrNotALine} // too long, or without an end
		}
		if err != nil {
			return lines, fmt.Errorf("audit log: read: %w", err)
		}
		if err := v.add(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return lines, &BrokenError{lines + 1, err}
		}
		lines++
	}
}

// add checks that a line continues its chain.
func (v *Verifier) add(text []byte) error {
	line, err := parse(text)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(v.chains, func(c *Chain) bool { return c.ID == line.Chain })
	if i < 0 {
		if (line.N == 1) != (line.Prev == "") {
			return ErrMissing
		}
		v.chains = append(v.chains, &Chain{ID: line.Chain, First: line.N, From: line.At})
		i = len(v.chains) - 1
	} else if c := v.chains[i]; line.N != c.Last+1 || line.Prev != c.Hash {
		return ErrMissing
	}
	c := v.chains[i]
	c.Last, c.To, c.Hash = line.N, line.At, line.Hash
	v.found = v.found || line.Hash == v.expect
	return nil
}

// parse reads a line and checks its hash.
func parse(text []byte) (hashed, error) {
	var line hashed
	at := bytes.LastIndex(text, []byte(hashField))
	if json.Unmarshal(text, &line) != nil || at < 0 || line.Chain == "" || line.N < 1 || string(text[at:]) != hashField+line.Hash+`"}` {
		return line, ErrNotALine
	}
	if sum(append(bytes.Clone(text[:at]), '}')) != line.Hash {
		return line, ErrChanged
	}
	return line, nil
}
