// Package redisx is what all packages need of a Redis client, once: [Group] and [Exec]
// share round trips, [Script] loads Lua, [Prefix] spells the keys of an account.
// Package redisconn makes the client.
package redisx

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Prefix starts every key of ours that belongs to an account. The appid stands in
// braces, so that all of them lie in one cluster slot and one script can use them
// together.
func Prefix(account string) string { return "wxn:{" + account + "}:" }

// CheckAccount refuses an account name that would break keys, queue names or
// cluster slots.
func CheckAccount(account string) error {
	switch {
	case account == "":
		return errors.New("the account is empty: use the appid as WeChat shows it")
	case len(account) > 64 || strings.ContainsAny(account, "{}:*?[]\\ \t\r\n"):
		return errors.New("the account is no appid: use the one that WeChat shows, without braces, colons and spaces")
	}
	return nil
}

// IsCluster reports whether rdb is a Redis Cluster, where keys of different slots
// cannot be used by one script.
func IsCluster(rdb redis.UniversalClient) bool {
	_, ok := rdb.(*redis.ClusterClient)
	return ok
}

// CompareIDs compares IDs of stream entries, "milliseconds-number".
func CompareIDs(a, b string) int {
	aTime, aNumber, _ := strings.Cut(a, "-")
	bTime, bNumber, _ := strings.Cut(b, "-")
	return cmp.Or(
		cmp.Compare(len(aTime), len(bTime)), strings.Compare(aTime, bTime),
		cmp.Compare(len(aNumber), len(bNumber)), strings.Compare(aNumber, bNumber),
	)
}

// Sleep waits for d, or returns ctx's error when ctx ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
