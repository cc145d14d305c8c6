package main

import (
	"crypto/md5"  //nolint:gosec // what others might store
	"crypto/sha1" //nolint:gosec // what others might store
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// forms are the ways in which text could lie in Redis: plain, as JSON escapes it,
// encoded, and as a hash whole or cut.
func forms(text string) map[string]string {
	escaped, _ := json.Marshal(text)
	out := map[string]string{"plain": text, "json": strings.Trim(string(escaped), `"`), "ascii json": ascii(text)}
	encode := func(name string, raw []byte) {
		out[name+" hex"] = hex.EncodeToString(raw)
		out[name+" HEX"] = strings.ToUpper(hex.EncodeToString(raw))
		out[name+" base64"] = strings.TrimRight(base64.StdEncoding.EncodeToString(raw[:len(raw)/3*3]), "=")
		out[name+" base64url"] = strings.TrimRight(base64.URLEncoding.EncodeToString(raw[:len(raw)/3*3]), "=")
	}
	encode("text", []byte(text))
	s256, s1, m5 := sha256.Sum256([]byte(text)), sha1.Sum([]byte(text)), md5.Sum([]byte(text)) //nolint:gosec // as above
	for name, sum := range map[string][]byte{"sha256": s256[:], "sha1": s1[:], "md5": m5[:]} {
		const shortest = 6 // bytes: what is cut shorter confirms no guess
		encode(name, sum[:shortest])
		out[name+" raw"] = string(sum[:shortest])
	}
	return out
}

// ascii is text as encoders write it that escape all but ASCII.
func ascii(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// contents is everything in Redis: all that each key, and its name, holds.
func contents(t *testing.T, rdb *redis.Client) map[string][]string {
	t.Helper()
	ctx, all := t.Context(), map[string][]string{}
	for _, key := range rdb.Keys(ctx, "*").Val() {
		texts := []string{key}
		switch kind := rdb.Type(ctx, key).Val(); kind {
		case "string":
			texts = append(texts, rdb.Get(ctx, key).Val())
		case "hash":
			for name, value := range rdb.HGetAll(ctx, key).Val() {
				texts = append(texts, name, value)
			}
		case "list":
			texts = append(texts, rdb.LRange(ctx, key, 0, -1).Val()...)
		case "set":
			texts = append(texts, rdb.SMembers(ctx, key).Val()...)
		case "zset":
			texts = append(texts, rdb.ZRange(ctx, key, 0, -1).Val()...)
		case "stream":
			for _, m := range rdb.XRange(ctx, key, "-", "+").Val() {
				for name, value := range m.Values {
					texts = append(texts, name, fmt.Sprint(value))
				}
			}
		case "none": // it has ended since
		default:
			t.Fatalf("%s is a %s, which this scan does not read", key, kind)
		}
		all[key] = texts
	}
	return all
}

// naming lists the keys that hold one of these texts in any form, with the form.
func naming(t *testing.T, rdb *redis.Client, texts ...string) []string {
	t.Helper()
	found := map[string]bool{}
	for key, held := range contents(t, rdb) {
		for _, text := range texts {
			for form, want := range forms(text) {
				if slices.ContainsFunc(held, func(s string) bool { return strings.Contains(s, want) }) {
					found[fmt.Sprintf("%s: %s (%s)", key, text, form)] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// kinds reduces keys to what they are for, so that a test can name them.
func kinds(found []string) []string {
	out := map[string]bool{}
	for _, f := range found {
		key, _, _ := strings.Cut(f, ": ")
		_, key, _ = strings.Cut(key, "}:")
		kind, _, _ := strings.Cut(key, ":")
		out[kind] = true
	}
	return slices.Sorted(maps.Keys(out))
}

// The scan finds a text in each type of key, in its name, and in each form.
func TestScanFindsATextWhereverItLies(t *testing.T) {
	t.Parallel()
	rdb := scanned(t)
	const text = "患者-zhang-401"
	s256 := sha256.Sum256([]byte(text))
	s1 := sha1.Sum([]byte(text)) //nolint:gosec // as above
	for name, value := range map[string]string{
		"plain": text, "inside": "x" + text + "x", "json": `{"a":"` + text + `"}`, "escaped": `"\u60a3\u8005-zhang-401"`,
		"hex": hex.EncodeToString([]byte(text)), "base64": base64.StdEncoding.EncodeToString([]byte(text)),
		"sha256": hex.EncodeToString(s256[:]), "cut": hex.EncodeToString(s256[:8]), "raw": string(s256[:8]),
		"sha256 base64url": base64.RawURLEncoding.EncodeToString(s256[:]), "sha1": hex.EncodeToString(s1[:]),
	} {
		for kind, put := range map[string]func() error{
			"string":       func() error { return rdb.Set(t.Context(), "k", value, 0).Err() },
			"name":         func() error { return rdb.Set(t.Context(), "k"+value, "", 0).Err() },
			"hash's field": func() error { return rdb.HSet(t.Context(), "k", value, "").Err() },
			"hash's value": func() error { return rdb.HSet(t.Context(), "k", "f", value).Err() },
			"list":         func() error { return rdb.LPush(t.Context(), "k", value).Err() },
			"set":          func() error { return rdb.SAdd(t.Context(), "k", value).Err() },
			"zset":         func() error { return rdb.ZAdd(t.Context(), "k", redis.Z{Member: value}).Err() },
			"stream": func() error {
				return rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: "k", Values: []any{"f", value}}).Err()
			},
		} {
			check(t, rdb.FlushAll(t.Context()).Err())
			check(t, put())
			if len(naming(t, rdb, text)) == 0 {
				t.Errorf("%s in a %s is not found", name, kind)
			}
		}
	}
	check(t, rdb.FlushAll(t.Context()).Err())
	check(t, rdb.Set(t.Context(), "other", "患者-zhang-402", 0).Err())
	if found := naming(t, rdb, text); len(found) != 0 {
		t.Errorf("found where it is not: %q", found)
	}
}
