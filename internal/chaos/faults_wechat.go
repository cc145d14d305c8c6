package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"
)

// answer is a share of the sends that WeChat treats badly.
type answer struct {
	share float64
	do    map[string]any
}

// wechatIll is WeChat treating sends badly for a while.
type wechatIll struct {
	name    string
	answers []answer
}

func (f wechatIll) String() string { return "WeChat: " + f.name }

func (f wechatIll) begin(ctx context.Context, s *stage) error {
	list := make([]map[string]any, 0, len(f.answers))
	for _, a := range f.answers {
		spec := map[string]any{"ratio": a.share}
		maps.Copy(spec, a.do)
		list = append(list, spec)
	}
	return s.wechat.set(ctx, "faults", map[string]any{"faults": list})
}

func (f wechatIll) end(ctx context.Context, s *stage) error {
	return s.wechat.set(ctx, "faults", map[string]any{"faults": []any{}})
}

func errcode(share float64, code int) answer {
	return answer{share, map[string]any{"do": "errcode", "errcode": code}}
}

func status(share float64, code int) answer {
	return answer{share, map[string]any{"do": "http_status", "status": code}}
}

func doing(share float64, what string) answer { return answer{share, map[string]any{"do": what}} }

func slow(share float64, by time.Duration) answer {
	return answer{share, map[string]any{"do": "slow", "delay": by.String()}}
}

func hanging(share float64, long time.Duration, accepted bool) answer {
	return answer{share, map[string]any{"do": "hang", "delay": long.String(), "accepted": accepted}}
}

// tokensKilled ends every token at once.
type tokensKilled struct{ again bool }

func (f tokensKilled) String() string {
	if f.again {
		return "WeChat hands out a token that it refuses"
	}
	return "every token is killed"
}

func (f tokensKilled) begin(ctx context.Context, s *stage) error {
	return s.wechat.set(ctx, "tokens/kill", map[string]any{"refuse_stable": f.again})
}

func (tokensKilled) end(context.Context, *stage) error { return nil }

// secretRotated is a new AppSecret; the workers learn it later, one by one, and
// an operator says that it is mended.
type secretRotated struct{ secret string }

func (f secretRotated) String() string { return "the AppSecret is rotated, the workers learn it later" }

func (f secretRotated) begin(ctx context.Context, s *stage) error {
	return s.wechat.set(ctx, "account", map[string]any{"appsecret": f.secret})
}

func (f secretRotated) end(ctx context.Context, s *stage) error {
	s.resetting("WXNOTIFY_APPSECRET", f.secret)
	for _, h := range s.crew {
		if said := h.finish(); said != "" {
			return fmt.Errorf("rotate: %s", said)
		}
		if err := s.restart(ctx, h); err != nil {
			return err
		}
	}
	s.note("wxnotify token refresh: %s", s.command(ctx, "token", "refresh"))
	return nil
}

func newSecret() func(*rand.Rand) fault {
	return func(dice *rand.Rand) fault { return secretRotated{fmt.Sprintf("rotated%025d", dice.Int64N(1e15))} }
}

// accountFrozen answers every call with an errcode of the account.
type accountFrozen struct {
	code   int
	tokens bool // the fetch of tokens instead of the sends
}

func (f accountFrozen) String() string { return fmt.Sprintf("the account is refused with %d", f.code) }

func (f accountFrozen) set(ctx context.Context, s *stage, code int) error {
	name := "freeze"
	if f.tokens {
		name = "freeze_tokens"
	}
	return s.wechat.set(ctx, "account", map[string]any{name: code})
}

func (f accountFrozen) begin(ctx context.Context, s *stage) error { return f.set(ctx, s, f.code) }
func (f accountFrozen) end(ctx context.Context, s *stage) error   { return f.set(ctx, s, 0) }

// quotaTaken is another program that uses the day's quota up, and an
// administrator who has it raised.
type quotaTaken struct{ limit int64 }

func (f quotaTaken) String() string { return "another program uses the day's quota up (45009)" }

func (f quotaTaken) begin(ctx context.Context, s *stage) error {
	return s.wechat.set(ctx, "quota", map[string]any{"daily_limit": f.limit, "used": f.limit})
}

func (f quotaTaken) end(ctx context.Context, s *stage) error {
	if err := s.wechat.set(ctx, "quota", map[string]any{"daily_limit": 10_000_000}); err != nil {
		return err
	}
	s.note("wxnotify quota --ask: %s", s.command(ctx, "quota", "--ask"))
	return nil
}

// minuteBound is WeChat's quota of a minute.
type minuteBound struct{ limit int64 }

func (f minuteBound) String() string {
	return fmt.Sprintf("WeChat takes %d sends a minute (45011)", f.limit)
}

func (f minuteBound) begin(ctx context.Context, s *stage) error {
	return s.wechat.set(ctx, "quota", map[string]any{"minute_limit": f.limit})
}

func (f minuteBound) end(ctx context.Context, s *stage) error {
	return s.wechat.set(ctx, "quota", map[string]any{"minute_limit": 0})
}
