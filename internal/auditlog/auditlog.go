// Package auditlog writes changes as lines of JSON, each with the hash of the line before,
// and verifies such lines.
//
// The hash of a line is the SHA-256 of the line without its last field, hash:
//
//	sed 's/,"hash":"[0-9a-f]*"}$/}/' | sha256sum
//
// The lines of one chain are numbered. A chain goes on when the program is started again
// and when its file is renamed. A chain proves that lines between two known ones were not
// changed, removed or added. It cannot prove that no lines are missing at its end:
// compare the last hash with one that was kept elsewhere, such as in the log.
package auditlog

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wxnotify/wxnotify/internal/mask"
)

// Entry is a change. OpenID, User and Detail are masked before they are written.
type Entry struct {
	Account string `json:"account,omitempty"` // appid
	Action  string `json:"action"`            // such as drop all
	Actor   string `json:"actor"`             // name of the login, or of the program
	From    string `json:"from,omitempty"`    // address of the client
	OpenID  string `json:"openid,omitempty"`  // whose data it is about
	User    string `json:"user,omitempty"`
	Count   int    `json:"count,omitempty"` // of messages; 0: not known, or not about messages
	Detail  string `json:"detail,omitempty"`
}

// Line is an entry of a chain.
type Line struct {
	Chain string    `json:"chain"`
	N     int64     `json:"n"` // from 1
	At    time.Time `json:"at"`
	Entry

	Prev string `json:"prev"` // hash of the line before; empty: it is the first
}

// hashed is a line as it is written.
type hashed struct {
	Line

	Hash string `json:"hash"`
}

// Log writes lines. Its zero pointer writes nothing. Safe for concurrent use.
type Log struct {
	path string // empty: file cannot be opened again
	mu   sync.Mutex
	out  io.Writer // without a path
	file *os.File
	last hashed
}

// ErrInUse says that another process writes the file.
var ErrInUse = errors.New("another process writes this file: give each process a file of its own")

const (
	// maxLine bounds what is read in search of the last line of a file.
	maxLine = 64 << 10
	// maxText bounds each text of an entry, in bytes: all of them escaped stay below maxLine.
	maxText   = 500
	hashField = `,"hash":"`
)

// Open opens the file at path for lines of this program, and creates it with mode 0600.
// Its chain goes on where the file ends. "-" writes to stdout, a chain for each process.
// about says in the first line which program writes. The error is that of the file,
// ErrInUse, or says that the file ends with a line that is not one of an audit log.
func Open(path string, stdout io.Writer, about string) (*Log, error) {
	l := &Log{}
	repaired := ""
	if path == "-" {
		l.out = stdout
	} else {
		l.path = path
		if err := l.open(); err != nil {
			return nil, err
		}
		removed, err := l.resume()
		if err != nil {
			_ = l.file.Close()
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if removed > 0 {
			repaired = "; an incomplete last line of " + strconv.Itoa(removed) + " bytes was removed"
		}
	}
	if l.last.Chain == "" {
		l.last.Chain = strings.ToLower(rand.Text()[:12])
	}
	if _, err := l.Write(Entry{Action: "opened", Actor: "wxnotify", Detail: about + repaired}); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// CheckPath refuses a path that is there and is not a regular file: the chain goes on from
// a file's last line.
func CheckPath(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("audit log: %s is not a regular file: name one, or - for stdout", path)
	}
	return nil
}

// open opens path and takes its lock. To open a pipe would block.
func (l *Log) open() error {
	if err := CheckPath(l.path); err != nil {
		return err
	}
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	if err := lock(file); err != nil {
		_ = file.Close()
		return fmt.Errorf("audit log: %s: %w", l.path, err)
	}
	l.file = file
	return nil
}

// resume reads the last line. One without an end was being written when the program or
// the machine stopped: it is removed, since its change was not made.
func (l *Log) resume() (removed int, err error) {
	info, err := l.file.Stat()
	if err != nil {
		return 0, fmt.Errorf("audit log: %w", err)
	}
	tail := make([]byte, min(info.Size(), maxLine))
	if _, err := l.file.ReadAt(tail, info.Size()-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("audit log: %w", err)
	}
	complete := tail[:bytes.LastIndexByte(tail, '\n')+1]
	removed = len(tail) - len(complete)
	if len(complete) > 0 {
		line := bytes.TrimSuffix(complete, []byte("\n"))
		if l.last, err = parse(line[bytes.LastIndexByte(line, '\n')+1:]); err != nil {
			return 0, fmt.Errorf("audit log: the last line: %w: `wxnotify audit verify` names the first such line; keep the file and name a new one", err)
		}
	} else if info.Size() >= maxLine {
		return 0, errors.New("audit log: the file holds something else: name a new one")
	}
	if removed > 0 {
		if err := l.file.Truncate(info.Size() - int64(removed)); err != nil {
			return 0, fmt.Errorf("audit log: %w", err)
		}
	}
	return removed, nil
}

// Write adds a line and returns its hash once the line is on the disk. With an error
// there is no such line. A file that was renamed is left, and a new one is created.
func (l *Log) Write(e Entry) (hash string, err error) {
	if l == nil {
		return "", nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.path != "" {
		if err := l.follow(); err != nil {
			return "", err
		}
	}
	e.OpenID, e.User, e.Detail = mask.Name(e.OpenID), mask.Name(e.User), mask.Text(e.Detail)
	for _, text := range []*string{&e.Account, &e.Action, &e.Actor, &e.From, &e.OpenID, &e.User, &e.Detail} {
		if len(*text) > maxText {
			*text = strings.ToValidUTF8((*text)[:maxText], "")
		}
	}
	next := hashed{Line: Line{Chain: l.last.Chain, N: l.last.N + 1, At: time.Now().UTC().Truncate(time.Millisecond), Entry: e, Prev: l.last.Hash}}
	body, err := json.Marshal(next.Line)
	if err != nil {
		return "", fmt.Errorf("audit log: %w", err)
	}
	next.Hash = sum(body)
	if err := l.append(append(body[:len(body)-1], hashField+next.Hash+"\"}\n"...)); err != nil {
		return "", fmt.Errorf("audit log: %w", err)
	}
	l.last = next
	return next.Hash, nil
}

// follow opens path again if it is no longer the open file.
func (l *Log) follow() error {
	now, err := os.Stat(l.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("audit log: %w", err)
	}
	mine, errMine := l.file.Stat()
	if err == nil && errMine == nil && os.SameFile(now, mine) {
		return nil
	}
	old := l.file
	if err := l.open(); err != nil {
		l.file = old
		return err
	}
	_ = old.Close() // its lines are on the disk
	return nil
}

// append writes a line whole, or restores the file to what it was.
func (l *Log) append(line []byte) error {
	if l.path == "" {
		_, err := l.out.Write(line)
		return err //nolint:wrapcheck // Write does
	}
	before, err := l.file.Stat()
	if err != nil {
		return err //nolint:wrapcheck // Write does
	}
	if _, err = l.file.Write(line); err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		err = errors.Join(err, l.file.Truncate(before.Size()))
	}
	return err
}

// Close writes a last line, so that a file that was just renamed is followed by one that
// names its last hash, and closes the file.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	_, err := l.Write(Entry{Action: "closed", Actor: "wxnotify"})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.path != "" {
		err = errors.Join(err, l.file.Close())
	}
	if err != nil {
		return fmt.Errorf("audit log: close: %w", err)
	}
	return nil
}

func sum(body []byte) string {
	hash := sha256.Sum256(body)
	return hex.EncodeToString(hash[:])
}
