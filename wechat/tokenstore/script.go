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

// scripts are what processes do to the shared token; each is one atomic step.
type scripts struct{ ask, keep, fail, force, refuse, drop, state *redis.Script }

func loadScripts() (s scripts, err error) {
	prelude, err := lua.ReadFile("lua/prelude.lua")
	if err != nil {
		return s, fmt.Errorf("tokenstore: read script: %w", err)
	}
	for name, at := range map[string]**redis.Script{
		"ask": &s.ask, "keep": &s.keep, "fail": &s.fail, "force": &s.force,
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

// keysOf lists the account's keys as every script declares them. All share one
// hash tag, so that one cluster node has them all.
func keysOf(appID string) []string {
	token := "wxn:{" + appID + "}:token"
	return []string{token, token + ":lease", token + ":gen", token + ":backoff", token + ":count", token + ":war"}
}

// channel is where the scripts say that something changed.
func (s *Store) channel() string { return s.keys[0] + ":notice" }

// eval runs one script. Redis errors are marked with ErrRedis.
func (s *Store) eval(ctx context.Context, script *redis.Script, args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	reply, err := script.Run(ctx, s.rdb, s.keys, args...).Result()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRedis, err)
	}
	return reply, nil
}

// row reads a script's answer of strings and numbers; what is missing reads as
// empty and as zero.
type row []any

func asRow(reply any) row {
	r, _ := reply.([]any)
	return r
}

func (r row) text(i int) string {
	if i >= len(r) {
		return ""
	}
	switch v := r[i].(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

func (r row) number(i int) int64 {
	n, err := strconv.ParseInt(r.text(i), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (r row) millis(i int) time.Duration { return time.Duration(r.number(i)) * time.Millisecond }
