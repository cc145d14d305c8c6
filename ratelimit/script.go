package ratelimit

import (
	"context"
	"embed"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed lua
var lua embed.FS

// newScripts reads the gate's operations, each with the prelude before it.
func newScripts() map[string]*redis.Script {
	prelude, _ := lua.ReadFile("lua/prelude.lua")
	scripts := map[string]*redis.Script{}
	for _, name := range []string{"book", "close", "open", "reconcile", "state"} {
		text, _ := lua.ReadFile("lua/" + name + ".lua")
		scripts[name] = redis.NewScript(string(prelude) + string(text))
	}
	return scripts
}

// channel is where the scripts announce changes.
func (g *Gate) channel() string { return g.keys[0] + ":events" }

// runScript runs one script. args are pairs of a name and a value.
func (g *Gate) runScript(ctx context.Context, name string, args ...any) (*reply, error) {
	values, err := g.scripts[name].Run(ctx, g.rdb, g.keys, append(args,
		"offset", int64(g.cfg.UTCOffset/time.Second), "quota", g.cfg.DailyQuota,
		"reserve", strconv.FormatFloat(g.cfg.Reserve, 'g', -1, 64),
		"rate", strconv.FormatFloat(g.cfg.Rate, 'g', -1, 64), "instance", g.instance,
		"channel", g.channel(),
	)...).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("ratelimit: %s: %w", name, err)
	}
	r := &reply{script: name, fields: make(map[string]string, len(values)/2)}
	for i := 1; i < len(values); i += 2 {
		r.fields[values[i-1]] = values[i]
	}
	return r, nil
}

// reply is what a script replied, by name. err is the first field that was
// missing or malformed.
type reply struct {
	script string
	fields map[string]string
	err    error
}

func (r *reply) text(name string) string {
	s, ok := r.fields[name]
	r.check(name, ok)
	return s
}

func (r *reply) int(name string) int64 {
	n, err := strconv.ParseInt(r.fields[name], 10, 64)
	r.check(name, err == nil)
	return n
}

func (r *reply) float(name string) float64 {
	x, err := strconv.ParseFloat(r.fields[name], 64)
	r.check(name, err == nil)
	return x
}

func (r *reply) check(name string, ok bool) {
	if !ok && r.err == nil {
		r.err = fmt.Errorf("ratelimit: %s: the reply has no valid %q: another version may be using this key", r.script, name)
	}
}
