package auditlog_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/wxnotify/wxnotify/internal/auditlog"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

func open(t *testing.T, path string) *auditlog.Log {
	t.Helper()
	var l *auditlog.Log
	var err error
	// A process that another test begins holds the lock of a closed file until it runs.
	testutil.Until(t, "nothing writes "+path, func() bool {
		l, err = auditlog.Open(path, nil, "test")
		return !errors.Is(err, auditlog.ErrInUse)
	})
	must(t, err)
	return l
}

func write(t *testing.T, l *auditlog.Log, actions ...string) (hash string) {
	t.Helper()
	for _, action := range actions {
		var err error
		if hash, err = l.Write(auditlog.Entry{Account: "wxa", Action: action, Actor: "li", From: "192.0.2.7", Count: 3}); err != nil {
			t.Fatal(err)
		}
	}
	return hash
}

func closed(t *testing.T, l *auditlog.Log) {
	t.Helper()
	must(t, l.Close())
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

func TestAChainGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	for range 3 {
		l := open(t, path)
		write(t, l, "pause", "resume")
		closed(t, l)
	}
	var v auditlog.Verifier
	n, err := v.Read(strings.NewReader(read(t, path)))
	if err != nil || n != 12 || len(v.Chains()) != 1 || v.Chains()[0].Last != 12 || v.Chains()[0].First != 1 {
		t.Errorf("%d lines, %v, %+v", n, err, v.Chains())
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// The command in the package's comment computes the hash.
func TestTheHashIsThatOfTheLineWithoutIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	l := open(t, path)
	write(t, l, "pause")
	closed(t, l)
	prev := ""
	for line := range strings.Lines(read(t, path)) {
		body := regexp.MustCompile(`,"hash":"[0-9a-f]*"}\n$`).ReplaceAllString(line, "}")
		hash := sha256.Sum256([]byte(body))
		var got map[string]any
		must(t, json.Unmarshal([]byte(line), &got))
		if got["hash"] != hex.EncodeToString(hash[:]) || got["prev"] != prev {
			t.Errorf("hash %v, prev %v in %s", got["hash"], got["prev"], line)
		}
		prev, _ = got["hash"].(string)
	}
}

func TestVerifyNamesTheFirstBrokenLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	l := open(t, path)
	write(t, l, "a", "b", "c", "d", "e")
	closed(t, l)
	lines := strings.SplitAfter(strings.TrimSuffix(read(t, path), "\n"), "\n") // opened a b c d e closed
	lines[len(lines)-1] += "\n"
	forged := strings.Replace(lines[3], `"li"`, `"wu"`, 1)
	rehashed := func(line string) string {
		body := regexp.MustCompile(`,"hash":"[0-9a-f]*"}\n$`).ReplaceAllString(line, "}")
		hash := sha256.Sum256([]byte(body))
		return body[:len(body)-1] + `,"hash":"` + hex.EncodeToString(hash[:]) + "\"}\n"
	}
	joined := func(parts ...string) string { return strings.Join(parts, "") }
	for what, row := range map[string]struct {
		text   string
		line   int
		reason error
	}{
		"a changed line":           {joined(lines[0], lines[1], lines[2], forged, lines[4]), 4, auditlog.ErrChanged},
		"a changed, rehashed line": {joined(lines[0], lines[1], lines[2], rehashed(forged), lines[4]), 5, auditlog.ErrMissing},
		"a removed line":           {joined(lines[0], lines[2]), 2, auditlog.ErrMissing},
		"two swapped lines":        {joined(lines[0], lines[2], lines[1]), 2, auditlog.ErrMissing},
		"a line twice":             {joined(lines[0], lines[1], lines[1]), 3, auditlog.ErrMissing},
		"a line of something else": {joined(lines[0], "hello\n", lines[1]), 2, auditlog.ErrNotALine},
		"a blank line":             {joined(lines[0], "\n", lines[1]), 2, auditlog.ErrNotALine},
		"a line without an end":    {joined(lines[0], strings.TrimSuffix(lines[1], "\n")), 2, auditlog.ErrNotALine},
		"a field after the hash":   {joined(lines[0], strings.Replace(lines[1], "\"}\n", "\",\"x\":1}\n", 1)), 2, auditlog.ErrNotALine},
		"a second first line":      {joined(lines[0], lines[1], lines[0]), 3, auditlog.ErrMissing},
		"a line that is too long":  {joined(lines[0], strings.Repeat("x", 100_000)+"\n"), 2, auditlog.ErrNotALine},
	} {
		var v auditlog.Verifier
		n, err := v.Read(strings.NewReader(row.text))
		var broken *auditlog.BrokenError
		if !errors.As(err, &broken) || broken.Line != row.line || !errors.Is(err, row.reason) || n != row.line-1 {
			t.Errorf("%s: %d lines, %v, want line %d: %v", what, n, err, row.line, row.reason)
		}
	}
}

func TestARemovedEndIsFoundByAKnownHash(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	l := open(t, path)
	hash := write(t, l, "a", "b")
	text := read(t, path)
	closed(t, l)
	for what, row := range map[string]struct {
		text    string
		missing bool
	}{"whole": {text, false}, "without its end": {text[:strings.LastIndex(text[:len(text)-1], "\n")+1], true}} {
		var v auditlog.Verifier
		v.Expect(strings.ToUpper(hash))
		if _, err := v.Read(strings.NewReader(row.text)); err != nil || v.Missing() != row.missing {
			t.Errorf("%s: missing %v, %v", what, v.Missing(), err)
		}
	}
}

func TestARenamedFileIsFollowedByANewOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	l := open(t, path)
	write(t, l, "a", "b")
	must(t, os.Rename(path, path+".1"))
	write(t, l, "c")
	must(t, os.Rename(path, path+".2"))
	closed(t, l) // writes the file anew
	l = open(t, path)
	closed(t, l)
	var v auditlog.Verifier
	for _, file := range []string{path + ".1", path + ".2", path} {
		if _, err := v.Read(strings.NewReader(read(t, file))); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	if len(v.Chains()) != 1 || v.Chains()[0].Last != 7 {
		t.Errorf("%+v", v.Chains())
	}
	var later auditlog.Verifier
	if _, err := later.Read(strings.NewReader(read(t, path))); err != nil || later.Chains()[0].First != 5 {
		t.Errorf("the last file alone: %v", err)
	}
}

func TestAnIncompleteLastLineIsRemovedAtTheStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	l := open(t, path)
	write(t, l, "a")
	whole := read(t, path)
	closed(t, l)
	if err := os.WriteFile(path, []byte(whole+`{"chain":"x","n":3,"at`), 0o600); err != nil {
		t.Fatal(err)
	}
	closed(t, open(t, path))
	var v auditlog.Verifier
	text := read(t, path)
	if n, err := v.Read(strings.NewReader(text)); err != nil || n != 4 || !strings.Contains(text, "an incomplete last line of 22 bytes was removed") {
		t.Errorf("%d lines, %v:\n%s", n, err, text)
	}
}

func TestAFileThatIsNoAuditLogIsNotWritten(t *testing.T) {
	t.Parallel()
	for what, text := range map[string]string{
		"a text": "hello\n", "a changed last line": `{"chain":"a","n":1,"at":"2026-01-01T00:00:00Z","action":"a","actor":"li","prev":"","hash":"00"}` + "\n",
		"a long text": strings.Repeat("x", 100_000),
	} {
		path := filepath.Join(t.TempDir(), "audit.ndjson")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		if _, err := auditlog.Open(path, nil, "test"); err == nil || !strings.Contains(err.Error(), "name a new one") {
			t.Errorf("%s: %v", what, err)
		}
		if read(t, path) != text {
			t.Errorf("%s: it was written", what)
		}
	}
	if _, err := auditlog.Open(filepath.Join(t.TempDir(), "none", "audit.ndjson"), nil, "test"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that does not exist: %v", err)
	}
}

func TestASecondProcessCannotWriteTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	l := open(t, path)
	if _, err := auditlog.Open(path, nil, "second"); !errors.Is(err, auditlog.ErrInUse) {
		t.Errorf("%v", err)
	}
	closed(t, l)
	closed(t, open(t, path))
}

func TestLinesHoldNoPersonalData(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	l := open(t, path)
	const openid, phone = "oCANARYx7Qk_4-pLmNb0TzYw8dEf", "13812345678"
	if _, err := l.Write(auditlog.Entry{Action: "erase", Actor: "li", OpenID: openid, User: "patient-401-canary", Detail: "call " + phone + " of " + openid + strings.Repeat("司", 400)}); err != nil {
		t.Fatal(err)
	}
	closed(t, l)
	for _, canary := range []string{openid, phone, "patient-401-canary", "\ufffd"} {
		if strings.Contains(read(t, path), canary) {
			t.Errorf("the file has %q:\n%s", canary, read(t, path))
		}
	}
}

func TestStdoutHasAChainForEachProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "stdout")
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(t, err)
	t.Cleanup(func() { _ = out.Close() })
	var all []*auditlog.Log
	for range 2 {
		l, err := auditlog.Open("-", out, "test")
		must(t, err)
		all = append(all, l)
	}
	var wg sync.WaitGroup
	for _, l := range all {
		for range 20 {
			wg.Go(func() { _, _ = l.Write(auditlog.Entry{Action: "a", Actor: "li"}) })
		}
	}
	wg.Wait()
	for _, l := range all {
		closed(t, l)
	}
	var v auditlog.Verifier
	n, err := v.Read(strings.NewReader(read(t, path)))
	if err != nil || n != 44 || len(v.Chains()) != 2 {
		t.Errorf("%d lines, %v, %d chains", n, err, len(v.Chains()))
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
