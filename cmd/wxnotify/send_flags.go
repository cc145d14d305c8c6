package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/wxnotify/wxnotify/internal/intake"
	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/usage"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// check refuses flags that would have no effect beside others.
func (f sendFlags) check(fs *pflag.FlagSet) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	clash := func(with string, given bool, remedy string, names ...string) {
		for _, name := range names {
			if given && fs.Changed(name) {
				fault("--%s beside --%s: %s", name, with, remedy)
			}
		}
	}
	clash("json", fs.Changed("json"), "the file has the whole message: remove one of the two", "to", "user", "template", "data", "url", "miniprogram", "samples")
	clash("samples", fs.Changed("samples"), "samples are made: remove one of the two", "to", "user", "template", "data", "url", "miniprogram", "id")
	clash("dry-run", f.dryRun, "nothing is enqueued, so there is nothing to wait for: remove it", "wait")
	clash("shadow", f.shadow, "nothing is enqueued: remove it", "wait", "dry-run", "continue-on-error")
	needs := func(name, other string) {
		if fs.Changed(name) && !fs.Changed(other) {
			fault("--%s needs --%s", name, other)
		}
	}
	needs("encoding", "json")
	needs("continue-on-error", "json")
	needs("wait-for", "wait")
	if f.encoding != "" && !slices.Contains(intake.Encodings(), strings.ToLower(f.encoding)) {
		fault("--encoding: %s is not one of %s", usage.Quote(f.encoding), strings.Join(intake.Encodings(), ", "))
	}
	if fs.Changed("samples") && f.samples < 1 {
		fault("--samples: must be 1 or more")
	}
	return errors.Join(faults...)
}

// message builds one from flags.
func (f sendFlags) message() (*wechat.TemplateMessage, error) {
	var faults []error
	if f.to == "" && f.user == "" {
		faults = append(faults, errors.New("--to is missing: whose openid? (or --user, or --json)"))
	}
	if f.template == "" {
		faults = append(faults, errors.New("--template is missing: the template id from the console's 我的模板"))
	}
	m := &wechat.TemplateMessage{ToUser: f.to, TemplateID: f.template, URL: f.link, Data: map[string]wechat.Field{}}
	for _, d := range f.data {
		key, value, ok := strings.Cut(d, "=")
		if !ok || key == "" {
			faults = append(faults, fmt.Errorf("--data %s: must be key=value, such as thing1=咖啡", usage.Quote(d)))
			continue
		}
		if _, twice := m.Data[key]; twice {
			faults = append(faults, fmt.Errorf("--data: the key %s is given twice: remove one", usage.Quote(key)))
		}
		m.Data[key] = wechat.Field{Value: value}
	}
	if f.mini != "" {
		appid, path, hasPath := strings.Cut(f.mini, ":")
		if appid == "" || hasPath && strings.TrimSpace(path) == "" || !hasPath && !settings.IsAppID(appid) {
			faults = append(faults, fmt.Errorf("--miniprogram %s: write appid:path, such as wx0123456789abcdef:pages/order?id=1, or the appid alone", usage.Quote(f.mini)))
		}
		m.MiniProgram = &wechat.MiniProgram{AppID: appid, PagePath: path}
	}
	return m, errors.Join(faults...)
}

func (f sendFlags) terms() (producer.Terms, error) {
	t := producer.Terms{User: f.user, AtLeastOnce: f.atLeastOnce}
	var faults []error
	if f.class != "" {
		if _, err := job.ParseClass(f.class); err != nil {
			faults = append(faults, fmt.Errorf("--class: %w", err))
		}
		t.Class = producer.ClassName(f.class)
	}
	for _, at := range []struct {
		flag, value string
		into        *time.Time
	}{{"--not-before", f.notBefore, &t.NotBefore}, {"--not-after", f.notAfter, &t.NotAfter}} {
		if at.value == "" {
			continue
		}
		var err error
		if *at.into, err = timeOrDuration(at.value); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", at.flag, err))
		}
	}
	return t, errors.Join(faults...)
}

func timeOrDuration(v string) (time.Time, error) {
	if d, err := time.ParseDuration(v); err == nil {
		return time.Now().Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a time such as 2026-11-22T09:00:00+08:00 nor a duration such as 10m", v)
	}
	return t, nil
}
