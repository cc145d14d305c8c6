package ledger

import (
	"embed"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// scripts are those of lua/, by name, each behind the functions that all of them share. Every
// command opens a ledger.
//
//nolint:gochecknoglobals // never changed
var scripts = sync.OnceValue(func() map[string]*redisx.Script {
	prelude, list := redisx.Lua(luaFiles, "history")+redisx.Lua(luaFiles, "prelude"), map[string]*redisx.Script{}
	files, _ := luaFiles.ReadDir("lua")
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".lua")
		list[name] = redisx.NewScript(prelude, redisx.Lua(luaFiles, name))
	}
	return list
})

// stringList reads a script's list of texts, at least n of them.
func stringList(reply any, n int) ([]string, error) {
	list, ok := reply.([]any)
	if !ok || len(list) < n {
		return nil, fmt.Errorf("ledger: Redis answered %T where a list of %d was expected", reply, n)
	}
	out := make([]string, len(list))
	for i := range list {
		out[i], _ = list[i].(string)
	}
	return out, nil
}

// stringMap reads a script's flat list of fields and values.
func stringMap(reply any) map[string]string {
	list, _ := reply.([]any)
	out := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		name, _ := list[i].(string)
		out[name], _ = list[i+1].(string)
	}
	return out
}

// millis is a duration in milliseconds as Redis takes it.
func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
