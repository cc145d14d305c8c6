package redisx

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1.
	"embed"
	"encoding/hex"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Script is a Lua script. It is called by its SHA-1, and sent whole when the
// server does not know it: a new primary, or SCRIPT FLUSH.
type Script struct{ text, sha string }

// NewScript joins parts, such as a package's shared functions and the script.
func NewScript(parts ...string) *Script {
	text := strings.Join(parts, "\n")
	sum := sha1.Sum([]byte(text)) //nolint:gosec // Redis names scripts by their SHA-1.
	return &Script{text: text, sha: hex.EncodeToString(sum[:])}
}

// Lua is the file lua/name.lua of a package.
func Lua(files embed.FS, name string) string {
	text, err := files.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // what is embedded can be read
	}
	return string(text)
}

// Text is the script as Redis gets it.
func (s *Script) Text() string { return s.text }

const (
	evalSHA, eval = "evalsha", "eval"
	firstKey      = 3 // place in the command: a cluster routes by it
)

// line is the command that calls the script by its SHA-1.
func (s *Script) line(keys []string, args []any) []any {
	line := make([]any, 0, firstKey+len(keys)+len(args))
	line = append(line, evalSHA, s.sha, len(keys))
	for i := range keys {
		line = append(line, &keys[i]) // a pointer is not boxed, a string is
	}
	return append(line, args...)
}

// Call is one call of a script, for [Exec].
type Call struct {
	*redis.Cmd
	script *Script
}

// Call prepares a call.
func (s *Script) Call(ctx context.Context, keys []string, args ...any) *Call {
	return &Call{Cmd: command(ctx, s.line(keys, args)), script: s}
}

// withText turns the call into one that sends the script's text.
func (c *Call) withText(ctx context.Context) {
	line := append([]any{eval, c.script.text}, c.Args()[2:]...)
	c.Cmd = command(ctx, line)
}

func command(ctx context.Context, line []any) *redis.Cmd {
	cmd := redis.NewCmd(ctx, line...)
	cmd.SetFirstKeyPos(firstKey)
	return cmd
}

// Run calls the script alone.
func (s *Script) Run(ctx context.Context, rdb redis.UniversalClient, keys []string, args ...any) *redis.Cmd {
	call := s.Call(ctx, keys, args...)
	Exec(ctx, rdb, call)
	return call.Cmd
}

// Texts calls a script that returns a list of texts. It makes no interface value of
// each, as Run does. once: go-redis does not repeat the call after a lost connection,
// for scripts that must not run twice.
func (s *Script) Texts(ctx context.Context, rdb redis.UniversalClient, once bool, keys []string, args ...any) ([]string, error) {
	line := s.line(keys, args)
	for {
		cmd := texts{redis.NewStringSliceCmd(ctx, line...), once}
		cmd.SetFirstKeyPos(firstKey)
		err := rdb.Process(ctx, cmd)
		if line[0] != evalSHA || !redis.HasErrorPrefix(err, "NOSCRIPT") {
			return cmd.Val(), err
		}
		line[0], line[1] = eval, s.text
	}
}

type texts struct {
	*redis.StringSliceCmd
	once bool
}

// NoRetry is asked by go-redis.
func (c texts) NoRetry() bool { return c.once }

// Exec runs cmds in one round trip and in their order, and calls whose script the
// server did not know in a second one. Each command keeps its own error.
func Exec(ctx context.Context, rdb redis.UniversalClient, cmds ...redis.Cmder) {
	for len(cmds) > 0 {
		if len(cmds) == 1 {
			_ = rdb.Process(ctx, cmds[0])
		} else {
			pipe := rdb.Pipeline()
			for _, cmd := range cmds {
				_ = pipe.Process(ctx, cmd) // only queues
			}
			_, _ = pipe.Exec(ctx)
		}
		var unknown []redis.Cmder
		for _, cmd := range cmds {
			if call, ok := cmd.(*Call); ok && call.Args()[0] == evalSHA && redis.HasErrorPrefix(call.Err(), "NOSCRIPT") {
				call.withText(ctx)
				unknown = append(unknown, call)
			}
		}
		cmds = unknown
	}
}
