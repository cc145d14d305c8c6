package ratelimit

import (
	"context"
	_ "embed" // the scripts
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/prelude.lua
var prelude string

//go:embed lua/book.lua
var bookLua string

//go:embed lua/close.lua
var closeLua string

//go:embed lua/open.lua
var openLua string

//go:embed lua/succeed.lua
var succeedLua string

//go:embed lua/reconcile.lua
var reconcileLua string

//go:embed lua/state.lua
var stateLua string

// scripts are the gate's operations, each with the prelude before it.
type scripts struct{ book, close, open, succeed, reconcile, state *redis.Script }

func newScripts() scripts {
	script := func(lua string) *redis.Script { return redis.NewScript(prelude + lua) }
	return scripts{
		book: script(bookLua), close: script(closeLua), open: script(openLua),
		succeed: script(succeedLua), reconcile: script(reconcileLua), state: script(stateLua),
	}
}

// runScript runs one script. args are pairs of a name and a value.
func (g *Gate) runScript(ctx context.Context, script *redis.Script, args ...any) (*reply, error) {
	values, err := script.Run(ctx, g.rdb, g.keys, append(args,
		"offset", int64(g.cfg.UTCOffset/time.Second), "quota", g.cfg.DailyQuota,
		"reserve", strconv.FormatFloat(g.cfg.Reserve, 'g', -1, 64),
		"rate", strconv.FormatFloat(g.cfg.Rate, 'g', -1, 64), "instance", g.instance,
	)...).StringSlice()
	if err != nil {
		return nil, err //nolint:wrapcheck // the callers say what failed
	}
	r := &reply{fields: make(map[string]string, len(values)/2)}
	for i := 1; i < len(values); i += 2 {
		r.fields[values[i-1]] = values[i]
	}
	return r, nil
}

// reply is what a script replied, by name. err is the first field that was
// missing or malformed.
type reply struct {
	fields map[string]string
	err    error
}

func (r *reply) text(name string) string {
	s, ok := r.fields[name]
	if !ok {
		r.fail(name)
	}
	return s
}

func (r *reply) int(name string) int64 {
	n, err := strconv.ParseInt(r.fields[name], 10, 64)
	if err != nil {
		r.fail(name)
	}
	return n
}

func (r *reply) fail(name string) {
	if r.err == nil {
		r.err = fmt.Errorf("the script's reply has no valid %q: another version may be using this key", name)
	}
}
