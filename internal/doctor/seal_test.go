package doctor_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/doctor"
	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// A key that waiting messages need and the settings lack, and messages in clear where
// they should not be.
func TestSealedMessagesAreComparedWithTheKeys(t *testing.T) {
	t.Parallel()
	const (
		appid = "wx1234567890abcdef"
		older = "5f1d0c9a7be34428d1a6f0937c25be81402f6e9ad8137b5cc4e0918d2a6f7b33"
		newer = "c84e2b7f90a1d36e5528fb47091cde6a3b7f80e2941d5ac6f0739be81d24a65f"
	)
	server := redistest.Start(t)
	rdb := server.Client(t)
	for id, keys := range map[string]string{"clear-1": "", "clear-2": "", "older-1": older, "newer-1": newer} {
		p, err := producer.New(rdb, producer.Config{Account: appid, SealKeys: wechat.NewSecret(keys)})
		must(t, err)
		t.Cleanup(func() { _ = p.Close() })
		_, err = p.Enqueue(t.Context(), id, &wechat.TemplateMessage{
			ToUser: "oABCdefGHIjklMNOpqrSTUvwxYZ0", TemplateID: "T1", Data: map[string]wechat.Field{"thing1": {Value: "x"}},
		})
		must(t, err)
	}
	address, err := redisconn.Parse(redisconn.Config{URL: server.URL()})
	must(t, err)
	for keys, want := range map[string][]doctor.Code{
		"":                  {"seal-key-missing", "seal-key-missing"},
		newer:               {"seal-key-missing", "seal-clear"},
		newer + "," + older: {"seal-clear"},
	} {
		ring, err := seal.New(keys)
		must(t, err)
		checks, client := doctor.Checks(doctor.Installation{Redis: address, ErrorText: error.Error, Accounts: []doctor.Account{{AppID: appid, SealKeys: ring}}})
		t.Cleanup(func() { _ = client.Close() })
		report := doctor.Run(t.Context(), checks, wechat.English)
		var got []doctor.Code
		for _, f := range report.Findings {
			if f.Check == "seal" {
				got = append(got, f.Code)
			}
			if strings.Contains(f.What+f.Remedy, newer[:8]) {
				t.Errorf("a finding shows the key: %+v", f)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("keys %.8s: %v, want %v: %+v", keys, got, want, report.Findings)
		}
	}
}
