package redistest

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1.
	_ "embed"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

//go:embed declared.lua
var declaredLua string

// Rights are those of docs/redis.md, as arguments of ACL SETUSER, with this password.
func Rights(tb testing.TB, password string) []string {
	tb.Helper()
	_, file, _, _ := runtime.Caller(0)
	page, err := os.ReadFile(filepath.Join(filepath.Dir(file), "..", "..", "docs", "redis.md"))
	if err != nil {
		tb.Fatal(err)
	}
	found := regexp.MustCompile(`(?s)\nACL SETUSER wxnotify (on >PASSWORD .*?)\nEND\n`).FindSubmatch(page)
	if found == nil {
		tb.Fatal("docs/redis.md has no ACL SETUSER wxnotify on >PASSWORD …")
	}
	text := strings.NewReplacer("\\\n", " ", ">PASSWORD", ">"+password).Replace(string(found[1]))
	return strings.Fields(text)
}

const strictUser, strictPassword = "wxnotify", "strict"

// UserURL is the server's address with a user who has exactly the rights of docs/redis.md.
// The test fails when the user tried something else.
func (s *Server) UserURL(tb testing.TB) string {
	tb.Helper()
	s.addUser(tb, nil)
	tb.Cleanup(func() {
		// The test's context has ended.
		denied, err := s.Client(tb).ACLLog(context.WithoutCancel(tb.Context()), 10).Result()
		if err != nil {
			tb.Error(err)
		}
		for _, entry := range denied {
			tb.Errorf("the user was denied: %s %s", entry.Reason, entry.Object)
		}
	})
	return "redis://" + strictUser + ":" + strictPassword + "@" + s.Addr + "/0"
}

func (s *Server) addUser(tb testing.TB, more []string) {
	tb.Helper()
	line := []any{"acl", "setuser", strictUser}
	for _, right := range append(Rights(tb, strictPassword), more...) {
		line = append(line, right)
	}
	if err := s.Client(tb).Do(tb.Context(), line...).Err(); err != nil {
		tb.Fatal(err)
	}
}

// Strict is a client that Server.Strict made.
type Strict struct {
	*redis.Client
	mu     sync.Mutex
	ran    map[string]bool   // texts of scripts
	checks map[string]string // SHA-1 of a script to that of the script with the check
}

// RanAll fails the test unless every script in the directory was run, but for those that
// are a part of others.
func (c *Strict) RanAll(tb testing.TB, dir string) {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.lua"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no scripts in %s: %v", dir, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(c.ran)), func(ran string) bool { return strings.Contains(ran, string(text)) }) {
			tb.Errorf("%s was not run", file)
		}
	}
}

// Strict returns a client that logs in with exactly the rights of docs/redis.md, and
// for which a script fails that uses a key which it does not declare. Redis itself
// allows that; some servers that speak its protocol do not. The scripts of asynq, which
// begin with a line break, are left alone. more are rights that the test itself needs.
func (s *Server) Strict(tb testing.TB, more ...string) *Strict {
	tb.Helper()
	s.addUser(tb, more)
	c := &Strict{
		Client: redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: 2, Username: strictUser, Password: strictPassword}),
		ran:    map[string]bool{}, checks: map[string]string{},
	}
	c.AddHook(c)
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// DialHook is go-redis'.
func (c *Strict) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook puts the check before each script.
func (c *Strict) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.check(cmd)
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook does the same.
func (c *Strict) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			c.check(cmd)
		}
		return next(ctx, cmds)
	}
}

func (c *Strict) check(cmd redis.Cmder) {
	args := cmd.Args()
	if len(args) < 2 {
		return
	}
	text := fmt.Sprint(args[1])
	c.mu.Lock()
	defer c.mu.Unlock()
	switch strings.ToLower(fmt.Sprint(args[0])) {
	case "evalsha":
		if sha, known := c.checks[text]; known {
			args[1] = sha
		} // else Redis does not know it, and the caller sends the text
	case "eval":
		if !strings.HasPrefix(text, "\n") && !strings.HasPrefix(text, declaredLua) {
			args[1] = declaredLua + text
			c.ran[text] = true
			c.checks[sha(text)] = sha(declaredLua + text)
		}
	}
}

func sha(text string) string {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // Redis names scripts by their SHA-1.
	return hex.EncodeToString(sum[:])
}
