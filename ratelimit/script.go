package ratelimit

import (
	_ "embed" // the scripts

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

// scripts are the gate's verbs, each with the prelude before it.
type scripts struct{ book, close, open, succeed, reconcile, state *redis.Script }

func newScripts() scripts {
	verb := func(lua string) *redis.Script { return redis.NewScript(prelude + lua) }
	return scripts{
		book: verb(bookLua), close: verb(closeLua), open: verb(openLua),
		succeed: verb(succeedLua), reconcile: verb(reconcileLua), state: verb(stateLua),
	}
}
