package main

import "time"

// ill is WeChat treating sends badly in spells.
func ill(name string, answers ...answer) []trouble {
	return []trouble{{
		make: always(wechatIll{name, answers}), first: between{second, 3 * second},
		hold: between{4 * second, 7 * second}, gap: between{2 * second, 4 * second},
	}}
}

func wechatScenarios() []*scenario {
	return []*scenario{
		{
			name: "wechat-cut", about: "WeChat cuts connections before, after accepting, and in the middle of its answer",
			troubles: ill("cuts", doing(0.15, "cut_after_accept"), doing(0.10, "cut_before"), doing(0.10, "cut_mid_answer")),
		},
		{
			name: "wechat-slow", about: "WeChat answers after seconds, or hangs and cuts, accepted or not",
			troubles: ill("slow", slow(0.3, 3*second), hanging(0.05, 12*second, true), hanging(0.05, 12*second, false)),
		},
		{
			name: "wechat-5xx", about: "storms of 502, 503, garbage and -1, up to a whole outage",
			troubles: []trouble{
				{make: always(wechatIll{"a storm", []answer{status(0.3, 502), status(0.2, 503), errcode(0.2, -1), doing(0.1, "garbage")}}), first: between{second, 2 * second}, hold: between{3 * second, 5 * second}, gap: between{8 * second, 10 * second}},
				{make: always(wechatIll{"an outage", []answer{status(1, 502)}}), first: between{8 * second, 9 * second}, hold: between{5 * second, 6 * second}, gap: between{time.Hour, time.Hour}},
			},
		},
		{
			name: "wechat-busy", about: "-1 for a fifth, and accepted although WeChat said 502",
			troubles: ill("busy", errcode(0.2, -1), answer{0.1, map[string]any{"do": "http_status", "status": 502, "accepted": true}}),
		},
		{
			name: "token-killed", about: "every token is killed again and again, and once WeChat hands the refused one out again",
			troubles: []trouble{
				{make: always(tokensKilled{}), first: between{second, 2 * second}, gap: between{second, 3 * second}},
				{make: always(tokensKilled{again: true}), first: between{8 * second, 9 * second}, times: 1},
			},
		},
	}
}

// slowScenarios wait for what WeChat itself makes us wait for.
func slowScenarios() []*scenario {
	once := func(f fault, hold time.Duration) []trouble {
		return []trouble{{make: always(f), first: between{3 * second, 5 * second}, hold: between{hold, hold + second}, times: 1}}
	}
	return []*scenario{
		{
			name: "account-frozen", about: "WeChat refuses the account (48004) for seconds; a probe finds out that it is over",
			troubles: once(accountFrozen{code: 48004}, 6*second), others: true,
		},
		{
			name: "minute-quota", about: "WeChat takes so many sends a minute and no more (45011)",
			troubles: once(minuteBound{limit: 60}, 20*second), others: true,
		},
		{
			name: "secret-rotated", about: "the AppSecret is rotated; the workers learn it one by one",
			troubles: []trouble{{make: newSecret(), first: between{3 * second, 5 * second}, hold: between{5 * second, 6 * second}, times: 1}},
		},
		{
			name: "quota-taken", about: "another program uses up the day's quota (45009); then it is raised",
			troubles: once(quotaTaken{limit: 100}, 6*second), others: true,
		},
		{
			name: "midnight", about: "the day's cap is reached, the day turns, the backlog goes on",
			midnight: true, capped: true, messages: 380,
		},
	}
}
