package main

import (
	"slices"
	"time"
)

func redisScenarios() []*scenario {
	killed := []trouble{{
		make: always(redisKilled{}), first: between{2 * second, 4 * second}, hold: between{second / 10, 3 * second},
		gap: between{3 * second, 6 * second},
	}}
	return []*scenario{
		{
			name: "redis-restarted", about: "Redis is restarted in good order, again and again",
			troubles: []trouble{{make: always(redisRestarted{}), first: between{2 * second, 4 * second}, hold: between{second / 2, 2 * second}, gap: between{3 * second, 6 * second}}},
		},
		{
			name: "redis-killed", about: "Redis is killed and comes back with its append-only file, appendfsync everysec", forgets: true,
			troubles: killed,
		},
		{
			name: "redis-killed-always", about: "the same with appendfsync always, which loses nothing",
			redisArgs: []string{"--appendfsync", "always"},
			troubles:  killed,
		},
		{
			name: "redis-cut", about: "all connections to Redis are cut twice a second",
			troubles: []trouble{{make: always(redisCut{}), first: between{second, 2 * second}, gap: between{second / 5, second}}},
		},
		{
			name: "redis-torn", about: "connections to Redis break mid-command, between a fetch and its reply, mid-reply",
			troubles: []trouble{{make: always(redisTorn{0.02}), first: between{second, second}, hold: between{time.Hour, time.Hour}, times: 1}},
		},
		{
			name: "redis-away", about: "no way to Redis for seconds; connections refused, or open and silent",
			troubles: []trouble{
				{make: always(redisAway{}), first: between{2 * second, 3 * second}, hold: between{second, 4 * second}, gap: between{rarely, rarely}},
				{make: always(redisAway{silent: true}), first: between{8 * second, 9 * second}, hold: between{2 * second, 7 * second}, gap: between{rarely, rarely}},
			},
		},
		{
			name: "redis-stopped", about: "Redis stands still for seconds, and forgets its scripts",
			troubles: []trouble{
				{make: always(redisStopped{}), first: between{2 * second, 3 * second}, hold: between{2 * second, 6 * second}, gap: between{4 * second, 6 * second}},
				{make: always(scriptsForgotten{}), first: between{second, second}, gap: between{second, 3 * second}},
			},
		},
		{
			name: "memory-full", about: "Redis has no memory left under noeviction",
			troubles: []trouble{{make: always(memoryFull{}), first: between{2 * second, 4 * second}, hold: between{2 * second, 5 * second}, gap: between{3 * second, 5 * second}}},
		},
		{
			name: "disk-full", about: "the disk under Redis is full: writes fail",
			troubles: []trouble{{make: always(diskFull{}), first: between{2 * second, 4 * second}, hold: between{2 * second, 5 * second}, gap: between{3 * second, 5 * second}}},
		},
	}
}

// failoverScenarios lose a primary under load.
func failoverScenarios() []*scenario {
	failover := []trouble{{
		make: anyPrimary(), first: between{4 * second, 8 * second}, hold: between{8 * second, 10 * second},
		gap: between{8 * second, 12 * second},
	}}
	return []*scenario{
		{
			name: "sentinel-together", about: "Sentinel fails over while workers are killed and WeChat cuts", redis: sentinel, forgets: true, span: 25 * second,
			longOnly: true, troubles: besides(failover...),
		},
		{
			name: "cluster-together", about: "a cluster loses primaries while workers are killed and WeChat cuts", redis: cluster, forgets: true, span: 25 * second,
			longOnly: true, troubles: besides(failover...),
		},
		{
			name: "sentinel", about: "Sentinel fails over under load", redis: sentinel, forgets: true, span: 25 * second,
			troubles: failover,
		},
		{
			name: "cluster", about: "a cluster loses a primary under load", redis: cluster, forgets: true, span: 25 * second,
			troubles: failover,
		},
	}
}

// besides adds workers that are killed and a WeChat that cuts.
func besides(troubles ...trouble) []trouble {
	killed := trouble{
		make:  oneOf(func(n int) fault { return workerKilled{n} }),
		first: between{2 * second, 4 * second}, hold: between{second / 10, second}, gap: between{5 * second, 10 * second},
	}
	return slices.Concat(troubles, []trouble{killed}, ill("cuts", doing(0.15, "cut_after_accept"), doing(0.05, "cut_mid_answer"), errcode(0.05, -1)))
}
