package main

import (
	"fmt"
	"time"
)

// scenario is one way in which the world goes wrong.
type scenario struct {
	name, about string
	redis       kind
	redisArgs   []string
	crew        []*hand // empty: two workers
	messages    int     // of the small run
	span        time.Duration
	limit       time.Duration // to settle, after the span
	troubles    []trouble
	wechat      []string          // flags of the simulator
	set         map[string]string // settings of the workers
	midnight    bool              // the day turns during the run
	capped      bool              // by a daily quota that takes somewhat over half of the messages
	others      bool              // somebody else uses the same quota
	forgets     bool              // Redis may die with what it had acknowledged
	archive     bool              // messages may die
	newer       bool              // messages of a newer version are enqueued too
	longOnly    bool              // takes longer than the small run may
}

const (
	second  = time.Second
	minute  = time.Minute
	rarely  = 8 * time.Second
	settles = 150 * time.Second
)

func (s *scenario) hands() []*hand {
	if len(s.crew) == 0 {
		return []*hand{newHand("worker-0", plainBuild, nil), newHand("worker-1", plainBuild, nil)}
	}
	return s.crew
}

// scenarios lists them all, the slowest first, so that none waits for the end.
func scenarios() []*scenario {
	list := []*scenario{}
	list = append(list, togetherScenarios()...)
	list = append(list, slowScenarios()...)
	list = append(list, redisScenarios()...)
	list = append(list, failoverScenarios()...)
	list = append(list, wechatScenarios()...)
	list = append(list, lastScenarios()...)
	for _, s := range list {
		if s.messages == 0 {
			s.messages = 300
		}
		if s.span == 0 {
			s.span = 15 * second
		}
		if s.limit == 0 {
			s.limit = settles
		}
	}
	return list
}

func (s *scenario) String() string { return fmt.Sprintf("%s (%s)", s.name, s.about) }
