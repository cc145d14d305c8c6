package settings

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// fixedSettings are those that a reload leaves as they are: the connection to Redis, the
// addresses and the audit file are opened once, and the log goes on in one form.
func fixedSettings() []string {
	return []string{
		"redis_url", "redis_ca_file", "redis_cert_file", "redis_key_file", "redis_server_name", "seal_name_keys",
		"public_addr", "ops_addr", "api_addr", "audit_file", "log_level", "log_format",
	}
}

// Replace makes c the configuration of a process that has run with before: what cannot
// change while a process runs stays as before. fixed names these settings where they
// differ, and changed the others, an account's with its appid. Neither shows a value.
func (c *Config) Replace(before *Config) (fixed, changed []string) {
	eachSetting(c, before, func(name string, now, then reflect.Value) {
		if slices.Contains(fixedSettings(), name) && !reflect.DeepEqual(now.Interface(), then.Interface()) {
			fixed = append(fixed, variable(name))
			now.Set(then)
		}
	})
	changed = []string{} // not nil, which the log shows as null
	differing := func(prefix string) func(name string, now, then reflect.Value) {
		return func(name string, now, then reflect.Value) {
			if !reflect.DeepEqual(now.Interface(), then.Interface()) {
				changed = append(changed, prefix+variable(name))
			}
		}
	}
	eachSetting(c, before, differing(""))
	were := map[string]*Account{}
	for i := range before.Accounts {
		were[before.Accounts[i].AppID] = &before.Accounts[i]
	}
	for i := range c.Accounts {
		a := &c.Accounts[i]
		if then := were[a.AppID]; then != nil {
			eachField(reflect.ValueOf(a).Elem(), reflect.ValueOf(then).Elem(), differing(fmt.Sprintf("account %s: ", a.AppID)))
		} else {
			changed = append(changed, fmt.Sprintf("account %s: added", a.AppID))
		}
		delete(were, a.AppID)
	}
	for _, id := range slices.Sorted(maps.Keys(were)) {
		changed = append(changed, fmt.Sprintf("account %s: removed", id))
	}
	return fixed, changed
}

// eachSetting calls f for each setting of the process, with both values. What accounts
// inherit is left out.
func eachSetting(c, before *Config, f func(name string, now, then reflect.Value)) {
	now, then := reflect.ValueOf(c).Elem(), reflect.ValueOf(before).Elem()
	for i := range now.NumField() {
		field := now.Type().Field(i)
		if strings.HasPrefix(field.Tag.Get("koanf"), ",") && field.Type != reflect.TypeFor[Account]() {
			eachField(now.Field(i), then.Field(i), f)
		}
	}
}

func eachField(now, then reflect.Value, f func(name string, now, then reflect.Value)) {
	for i := range now.NumField() {
		f(now.Type().Field(i).Tag.Get("koanf"), now.Field(i), then.Field(i))
	}
}
