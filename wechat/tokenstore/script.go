package tokenstore

import (
	"context"
	"embed"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var lua embed.FS // read-only: the scripts' text

// scripts are the operations on the shared token; each is atomic.
type scripts struct{ ask, keep, fail, force, release, refuse, drop, state *redis.Script }

func loadScripts() (s scripts, err error) {
	prelude, err := lua.ReadFile("lua/prelude.lua")
	if err != nil {
		return s, fmt.Errorf("tokenstore: read script: %w", err)
	}
	for name, at := range map[string]**redis.Script{
		"ask": &s.ask, "keep": &s.keep, "fail": &s.fail, "force": &s.force, "release": &s.release,
		"refuse": &s.refuse, "drop": &s.drop, "state": &s.state,
	} {
		body, err := lua.ReadFile("lua/" + name + ".lua")
		if err != nil {
			return s, fmt.Errorf("tokenstore: read script: %w", err)
		}
		*at = redis.NewScript(string(prelude) + string(body))
	}
	return s, nil
}

// keysOf lists the account's keys in the order in which every script declares
// them. All have one hash tag, so they are on one node of a cluster.
func keysOf(appID string) []string {
	token := "wxn:{" + appID + "}:token"
	return []string{token, token + ":lease", token + ":gen", token + ":backoff", token + ":count", token + ":war"}
}

// channel is where the scripts announce changes.
func (s *Store) channel() string { return s.keys[0] + ":notice" }

// args are the named arguments of a script. A Duration is passed in milliseconds.
type args map[string]any

// reply holds the named values that a script returned; a missing one is empty or 0.
type reply map[string]string

func (r reply) number(name string) int64 {
	n, err := strconv.ParseInt(r[name], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (r reply) millis(name string) time.Duration {
	return time.Duration(r.number(name)) * time.Millisecond
}

// time is the zero time for 0.
func (r reply) time(name string) time.Time {
	ms := r.number(name)
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// eval runs one script. Errors are marked with ErrRedis.
func (s *Store) eval(ctx context.Context, script *redis.Script, named args) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	argv := make([]any, 0, 2*len(named)+2)
	argv = append(argv, "channel", s.channel())
	for name, value := range named {
		if d, ok := value.(time.Duration); ok {
			value = d.Milliseconds()
		}
		argv = append(argv, name, value)
	}
	values, err := script.Run(ctx, s.rdb, s.keys, argv...).Slice()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRedis, err)
	}
	r := make(reply, len(values)/2)
	for i := 0; i+1 < len(values); i += 2 {
		r[fmt.Sprint(values[i])] = fmt.Sprint(values[i+1])
	}
	return r, nil
}
