package names_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/seal"
)

const account = "wx1234567890abcdef"

func key(name string) string { return "wxn:{" + account + "}:" + name }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// way is the nth way in which names lie; 0: in clear.
func way(tb testing.TB, n int) *seal.Names {
	tb.Helper()
	keys := []string{
		"", "0b7de1a94f3c58826ed90c41f7a25b3381f46e0d9ac7ba5514e2098d3a6fc7b2",
		"9e21b7cf80a4d36e1728fb4705ecd96a3b7f82e0941d5ac6f0736be8d124a65c",
	}
	n1, err := seal.NewNames(keys[n], account)
	must(tb, err)
	return n1
}

func TestTheFirstProcessOfANewAccountDecides(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		must(t, names.Check(ctx, rdb, account, nil)) // leaves no mark
		must(t, names.Check(ctx, rdb, account, way(t, 1)))
		for n, want := range map[int]string{0: "set Config.SealNameKeys", 2: "put key " + way(t, 1).KeyID() + " first"} {
			err := names.Check(ctx, rdb, account, way(t, n))
			if !errors.Is(err, names.ErrMixed) || !strings.Contains(err.Error(), want) {
				t.Errorf("way %d: %v", n, err)
			}
		}
		must(t, names.Check(ctx, rdb, account, way(t, 1)))
		for _, fence := range []string{"sup", "roster", "in"} {
			if err := rdb.HGet(ctx, key(fence), "x").Err(); err == nil || !errors.Is(names.Explain(err), names.ErrMixed) {
				t.Errorf("%s: %v", fence, err)
			}
		}
		must(t, names.Explain(nil))
	})
}

// Any trace of use in clear keeps the first sealing process out; an empty inbox is none.
func TestAnAccountInUseIsNotSealedByAStart(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	ctx := t.Context()
	for name, use := range map[string]func() error{
		"sup":    func() error { return rdb.HSet(ctx, key("sup"), "o", "0 x").Err() },
		"roster": func() error { return rdb.ZAdd(ctx, key("roster"), redis.Z{Member: "u"}).Err() },
		"ix":     func() error { return rdb.ZAdd(ctx, key("ix"), redis.Z{Member: "ix:1"}).Err() },
		"in":     func() error { return rdb.XAdd(ctx, &redis.XAddArgs{Stream: key("in"), Values: []any{"e", "{}"}}).Err() },
	} {
		must(t, rdb.FlushAll(ctx).Err())
		must(t, rdb.XGroupCreateMkStream(ctx, key("in"), "enroll", "0").Err())
		if used, err := names.InUse(ctx, rdb, account); err != nil || used {
			t.Errorf("%s: an empty inbox is use: %v", name, err)
		}
		must(t, use())
		err := names.Check(ctx, rdb, account, way(t, 1))
		if used, e := names.InUse(ctx, rdb, account); !errors.Is(err, names.ErrMixed) || !strings.Contains(err.Error(), "wxnotify seal names") || e != nil || !used {
			t.Errorf("%s: %v, in use %t, %v", name, err, used, e)
		}
	}
	must(t, rdb.FlushAll(ctx).Err())
	must(t, rdb.XGroupCreateMkStream(ctx, key("in"), "enroll", "0").Err())
	must(t, names.Check(ctx, rdb, account, way(t, 1)))
}

func TestAGuardLooksEveryFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, rdb := redistest.Mini(t)
		ctx := t.Context()
		g := names.NewGuard(rdb, account, nil)
		must(t, g.Look(ctx))
		must(t, g.Admit(ctx))
		_, err := names.Begin(ctx, rdb, account, nil, way(t, 1))
		must(t, err)
		must(t, g.Look(ctx)) // it looked just now
		time.Sleep(names.LookEvery)
		if err := g.Look(ctx); !errors.Is(err, names.ErrMixed) || !strings.Contains(err.Error(), "not complete") {
			t.Errorf("during a conversion: %v", err)
		}
		sealed := names.NewGuard(rdb, account, way(t, 1))
		if err := sealed.Admit(ctx); !errors.Is(err, names.ErrMixed) {
			t.Errorf("admitted during a conversion: %v", err)
		}
		must(t, rdb.Set(ctx, key("names"), way(t, 1).KeyID(), 0).Err())
		must(t, sealed.Admit(ctx))
		must(t, rdb.Del(ctx, key("names")).Err())
		must(t, sealed.Admit(ctx)) // once is enough: the fences do the rest
		time.Sleep(names.LookEvery)
		must(t, g.Look(ctx))
	})
}

// Keys of each type are converted whole, also those that are larger than one step, into
// another key and in place.
func TestLargeKeysAreConvertedWhole(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx, n := t.Context(), 1300
		name := func(i int) string { return fmt.Sprintf("oPERSON%06d", i) }
		for i := range n {
			must(t, rdb.HSet(ctx, key("sup"), name(i), i).Err())
			must(t, rdb.ZAdd(ctx, key("roster"), redis.Z{Member: name(i), Score: float64(i % 7)}).Err())
			must(t, rdb.XAdd(ctx, &redis.XAddArgs{Stream: key("in"), ID: fmt.Sprintf("%d-%d", 5+i/2, i%2+1), Values: []any{"e", name(i), "w", "x"}}).Err())
			must(t, rdb.ZAdd(ctx, key("k:one"), redis.Z{Member: "t " + name(i), Score: float64(i)}).Err())
			must(t, rdb.HSet(ctx, key("o:one"), "u:"+name(i), "v").Err())
		}
		must(t, rdb.Set(ctx, key("z:one"), "said", time.Hour).Err())
		must(t, rdb.Expire(ctx, key("k:one"), time.Hour).Err())
		from, to := way(t, 0), way(t, 1)
		move := func() *names.Conversion {
			c, err := names.Begin(ctx, rdb, account, from, to)
			must(t, err)
			field := func(field, value string) (string, string) { return c.Name(seal.OpenID, field), value }
			must(t, c.Move(ctx, key("sup"), field))
			must(t, c.Move(ctx, key("roster"), field))
			must(t, c.Move(ctx, key("in"), func(field, value string) (string, string) {
				if field == "e" {
					value = c.Name(seal.OpenID, value)
				}
				return field, value
			}))
			inside := func(prefix string) names.Change {
				return func(field, value string) (string, string) {
					return prefix + c.Name(seal.User, strings.TrimPrefix(field, prefix)), value
				}
			}
			must(t, c.Keys(ctx, key("k:"), seal.OpenID, inside("t ")))
			must(t, c.Keys(ctx, key("o:"), seal.OpenID, inside("u:")))
			must(t, c.Keys(ctx, key("z:"), seal.OpenID, nil))
			return c
		}
		move()
		must(t, move().End(ctx, key("sup"), key("roster"), key("in"))) // as after a stop
		one := to.Seal(seal.OpenID, "one")
		for what, got := range map[string]int64{
			"sup": rdb.HLen(ctx, to.Under(key("sup"))).Val(), "roster": rdb.ZCard(ctx, to.Under(key("roster"))).Val(),
			"in": rdb.XLen(ctx, to.Under(key("in"))).Val(), "k": rdb.ZCard(ctx, key("k:"+one)).Val(), "o": rdb.HLen(ctx, key("o:"+one)).Val(),
		} {
			if got != int64(n) {
				t.Errorf("%s has %d, want %d", what, got, n)
			}
		}
		for i := range n {
			s := to.Seal(seal.OpenID, name(i))
			if rdb.HGet(ctx, to.Under(key("sup")), s).Val() != strconv.Itoa(i) || rdb.ZScore(ctx, to.Under(key("roster")), s).Val() != float64(i%7) {
				t.Fatalf("%s is not converted", name(i))
			}
		}
		last := rdb.XRevRangeN(ctx, to.Under(key("in")), "+", "-", 1).Val()
		if len(last) != 1 || last[0].ID != fmt.Sprintf("%d-%d", 5+(n-1)/2, (n-1)%2+1) || last[0].Values["e"] != to.Seal(seal.OpenID, name(n-1)) || last[0].Values["w"] != "x" {
			t.Errorf("the last entry is %+v", last)
		}
		for _, k := range []string{"z:" + one, "k:" + one} {
			if life := rdb.PTTL(ctx, key(k)).Val(); life <= 0 || life > time.Hour {
				t.Errorf("%s lives for %s", k, life)
			}
		}
		if left := rdb.Exists(ctx, key("z:one")).Val() + rdb.Exists(ctx, key("k:one")).Val() + rdb.Exists(ctx, key("o:one")).Val(); left != 0 {
			t.Errorf("%d keys have the name", left)
		}
	})
}

func TestAnotherConversionIsNotBegun(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	ctx := t.Context()
	_, err := names.Begin(ctx, rdb, account, nil, way(t, 1))
	must(t, err)
	for what, ways := range map[string][2]int{"to another key": {0, 2}, "from another key": {2, 1}, "nowhere": {1, 1}} {
		if _, err := names.Begin(ctx, rdb, account, way(t, ways[0]), way(t, ways[1])); err == nil {
			t.Errorf("%s: begun", what)
		}
	}
	c, err := names.Begin(ctx, rdb, account, nil, way(t, 1))
	must(t, err)
	if got := c.Cursor(seal.User, "17 u-1"); got != "17 "+way(t, 1).Seal(seal.User, "u-1") || c.Cursor(seal.User, "") != "" || c.Cursor(seal.User, "u-1") != "u-1" {
		t.Errorf("the cursor is %q", got)
	}
}

// A key that is none of ours ends the conversion with its prefix: the rest is a name.
func TestAForeignKeyIsNamedByItsPrefix(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		must(t, rdb.RPush(ctx, key("o:oPERSON000001"), "x").Err())
		c, err := names.Begin(ctx, rdb, account, way(t, 0), way(t, 1))
		must(t, err)
		err = c.Keys(ctx, key("o:"), seal.OpenID, nil)
		if err == nil || strings.Contains(err.Error(), "oPERSON") || !strings.Contains(err.Error(), key("o:")) || !strings.Contains(err.Error(), "remove") {
			t.Errorf("got %v", err)
		}
	})
}
