package main

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/wxnotify/wxnotify/internal/chaos/verdict"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/wechat"
)

// settings of the scenario's workers.
func (s *scenario) settings(st *stage) map[string]string {
	set := maps.Clone(s.set)
	if set == nil {
		set = map[string]string{}
	}
	if st.cap() > 0 {
		set["WXNOTIFY_DAILY_QUOTA"] = strconv.FormatInt(st.cap(), 10)
	}
	if s.midnight {
		set["WXNOTIFY_QUOTA_UTC_OFFSET"] = utcOffset(st.turn())
	}
	return set
}

// simulate is the flags of the scenario's WeChat.
func (s *scenario) simulate(st *stage) []string {
	args := s.wechat
	if st.cap() > 0 {
		args = append(args, "--daily-quota", strconv.FormatInt(st.cap(), 10))
	}
	if s.midnight {
		args = append(args, "--quota-utc-offset", utcOffset(st.turn()))
	}
	return args
}

// cap of the day: one day is not enough for the messages, two are.
func (st *stage) cap() int64 {
	if !st.scenario.capped {
		return 0
	}
	return int64(st.messages)*55/100 + 10
}

// turn is the moment at which the day of a midnight scenario turns: a minute's
// beginning, since offsets are whole minutes, and not too soon.
func (st *stage) turn() time.Time {
	if st.turns.IsZero() {
		st.turns = time.Now().Add(35 * time.Second).Truncate(time.Minute).Add(time.Minute)
	}
	return st.turns
}

// utcOffset is where midnight is at that moment.
func utcOffset(midnight time.Time) string {
	midnight = midnight.UTC()
	minutes := 24*60 - (midnight.Hour()*60 + midnight.Minute())
	sign := '+'
	if minutes > 12*60 {
		minutes, sign = 24*60-minutes, '-'
	}
	return fmt.Sprintf("%c%02d:%02d", sign, minutes/60, minutes%60)
}

// callsOfADay is what the platform counted on the day that it is now.
func (st *stage) callsOfADay(counted stats) int64 {
	if st.cap() > 0 && len(counted.Accounts) == 1 {
		return counted.Accounts[0].Used
	}
	return int64(counted.Calls[wechat.SendPath].Total)
}

// seenOf lists how a message was seen.
func (st *stage) seenOf(ctx context.Context, id string) []verdict.Seen {
	all, err := st.wechat.seen(ctx)
	if err != nil {
		return nil
	}
	var mine []verdict.Seen
	for _, s := range all {
		if s.ClientMsgID == job.ClientMsgID(id) {
			mine = append(mine, s)
		}
	}
	return mine
}
