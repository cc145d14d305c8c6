package main

// togetherScenarios are workers that die, and everything at once.
func togetherScenarios() []*scenario {
	return []*scenario{
		{
			name: "window-passed", about: "no answer of WeChat comes back for longer than it recognises a repetition",
			longOnly: true, span: minute,
			troubles: []trouble{{make: always(wechatIll{"accepts, and its answers are lost", []answer{doing(1, "cut_after_accept")}}), first: between{5 * second, 5 * second}, hold: between{9 * minute, 9 * minute}, times: 1}},
		},
		{
			name: "worker-stopped", about: "a worker stands still for longer than its leases and wakes up with what it had in hand",
			troubles: []trouble{{make: oneOf(func(n int) fault { return workerStopped{n} }), first: between{3 * second, 5 * second}, hold: between{40 * second, 42 * second}, times: 1}},
			wechat:   []string{"--latency", "200ms"},
		},
		{
			name: "together", about: "workers and Redis killed, connections torn, WeChat cutting and failing, tokens killed",
			messages: 500, span: 25 * second, forgets: true,
			troubles: []trouble{
				{make: oneOf(func(n int) fault { return workerKilled{n} }), first: between{2 * second, 4 * second}, hold: between{second / 10, second}, gap: between{4 * second, 8 * second}},
				{make: always(redisKilled{}), first: between{5 * second, 8 * second}, hold: between{second / 10, 2 * second}, gap: between{8 * second, 12 * second}},
				{make: always(redisTorn{0.005}), first: between{second, second}, hold: between{3 * second, 5 * second}, gap: between{3 * second, 5 * second}},
				{make: always(wechatIll{"everything", []answer{doing(0.1, "cut_after_accept"), doing(0.05, "cut_mid_answer"), errcode(0.05, -1), status(0.05, 502), slow(0.1, 2*second)}}), first: between{second, 2 * second}, hold: between{4 * second, 8 * second}, gap: between{2 * second, 4 * second}},
				{make: always(tokensKilled{}), first: between{3 * second, 5 * second}, gap: between{4 * second, 6 * second}},
			},
		},
		{
			name: "worker-killed", about: "workers are killed while fetching, sending and completing",
			troubles: []trouble{{make: oneOf(func(n int) fault { return workerKilled{n} }), first: between{second, 2 * second}, hold: between{second / 10, second / 2}, gap: between{2 * second, 4 * second}}},
			wechat:   []string{"--latency", "100ms"},
		},
		{
			name: "worker-versions", about: "messages of the next version beside workers of this one; then they are upgraded",
			newer: true,
			crew:  []*hand{newHand("worker-0", plainBuild, nil), newHand("worker-1", newerBuild, nil)},
			troubles: []trouble{
				{make: always(workerReplaced{0, newerBuild}), first: between{20 * second, 20 * second}, hold: between{second, second}, times: 1},
			},
			span: 22 * second,
		},
		{
			name: "dead-letters", about: "WeChat answers what nobody knows, and workers are killed while messages die",
			archive: true, messages: 200,
			troubles: []trouble{
				{make: always(wechatIll{"an unknown errcode", []answer{errcode(0.5, 99999)}}), first: between{second, second}, hold: between{25 * second, 25 * second}, times: 1},
				{make: oneOf(func(n int) fault { return workerKilled{n} }), first: between{3 * second, 5 * second}, hold: between{second / 10, second / 2}, gap: between{2 * second, 4 * second}},
			},
		},
	}
}

// lastScenarios wait for a build of their own.
func lastScenarios() []*scenario {
	return []*scenario{
		{
			name: "worker-clock", about: "the clocks of two workers of three are 10 minutes off",
			crew: []*hand{
				newHand("worker-0", plainBuild, nil),
				newHand("worker-1", skewedBuild, map[string]string{skewVariable: "600"}),
				newHand("worker-2", skewedBuild, map[string]string{skewVariable: "-600"}),
			},
			wechat:   []string{"--latency", "200ms"},
			troubles: ill("cuts", doing(0.15, "cut_after_accept")),
		},
	}
}
