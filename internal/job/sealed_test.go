package job_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/seal"
)

const (
	olderKey = "5f1d0c9a7be34428d1a6f0937c25be81402f6e9ad8137b5cc4e0918d2a6f7b33"
	newerKey = "c84e2b7f90a1d36e5528fb47091cde6a3b7f80e2941d5ac6f0739be81d24a65f"
)

func codec(t *testing.T, keys string) job.Codec {
	t.Helper()
	k, err := seal.New(keys)
	if err != nil {
		t.Fatal(err)
	}
	return job.NewCodec("wx1", k)
}

func encode(t *testing.T, c job.Codec, e job.Envelope) ([]byte, string) {
	t.Helper()
	payload, hash, err := c.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return payload, hash
}

func TestASealedEnvelopeShowsNothingOfTheMessageAndComesBackWhole(t *testing.T) {
	t.Parallel()
	c := codec(t, newerKey)
	for name, e := range map[string]job.Envelope{"to an openid": full(), "to a user": lean(), "traced": traced()} {
		payload, hash := encode(t, c, e)
		for _, part := range []string{e.ID, e.To, e.User, e.Template, string(e.Body), "订单", e.Hash()} {
			if part != "" && bytes.Contains(payload, []byte(part)) {
				t.Errorf("%s: the payload shows %q", name, part)
			}
		}
		got, err := c.Parse(e.ID, payload)
		if err != nil {
			t.Fatal(err)
		}
		e.Fingerprint = hash
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("%s: it came back changed (-want +got):\n%s", name, diff)
		}
		if got.Hash() != hash || len(hash) != 11 || job.SealedWith(payload) != c.Keys().Current() {
			t.Errorf("%s: fingerprint %q and %q, sealed with %q", name, got.Hash(), hash, job.SealedWith(payload))
		}
	}
}

func TestWithoutKeysAnEnvelopeIsInClearAsBefore(t *testing.T) {
	t.Parallel()
	want, err := job.Encode(full())
	if err != nil {
		t.Fatal(err)
	}
	payload, hash := encode(t, codec(t, ""), full())
	if !bytes.Equal(payload, want) || hash != full().Hash() || job.SealedWith(payload) != "" {
		t.Errorf("the payload is %q, the fingerprint %q", payload, hash)
	}
	if _, _, err := codec(t, newerKey).Encode(job.Envelope{}); err == nil {
		t.Error("an envelope that Parse would refuse was sealed")
	}
}

// A fleet that is being switched on: one in clear is read with keys, too.
func TestAnEnvelopeInClearIsReadWithKeys(t *testing.T) {
	t.Parallel()
	payload, hash := encode(t, codec(t, ""), full())
	got, err := codec(t, newerKey).Parse(full().ID, payload)
	if err != nil || got.Hash() != hash {
		t.Fatalf("Parse = %+v, %v", got, err)
	}
}

func TestASealedEnvelopeWaitsForAProcessWithItsKey(t *testing.T) {
	t.Parallel()
	c := codec(t, newerKey)
	payload, _ := encode(t, c, full())
	for _, keys := range []string{"", olderKey} {
		_, err := codec(t, keys).Parse(full().ID, payload)
		unknown := (*seal.UnknownKeyError)(nil)
		if !errors.As(err, &unknown) || unknown.ID != c.Keys().Current() || errors.Is(err, job.ErrMalformed) {
			t.Errorf("with the keys %.8s: %v", keys, err)
		}
	}
	_, err := job.Parse(payload)
	if sealed := (*job.SealedError)(nil); !errors.As(err, &sealed) || sealed.Key != c.Keys().Current() || errors.Is(err, job.ErrMalformed) {
		t.Errorf("without a codec: %v", err)
	}
}

// Nothing of a sealed envelope can be changed, moved to another message or account, or
// given another fingerprint or key.
func TestAChangedOrMovedEnvelopeIsMalformed(t *testing.T) {
	t.Parallel()
	c := codec(t, newerKey+","+olderKey)
	payload, hash := encode(t, c, full())
	refuse := func(what string, c job.Codec, id string, payload []byte) {
		t.Helper()
		if e, err := c.Parse(id, payload); !errors.Is(err, job.ErrMalformed) || e.Body != nil {
			t.Errorf("%s: %+v, %v", what, e, err)
		}
	}
	refuse("of another message", c, "order-1002-paid", payload)
	other := job.NewCodec("wx2", c.Keys())
	refuse("of another account", other, full().ID, payload)
	head, tail := bytes.IndexByte(payload, '\n')+1, len(payload)
	for at := head; at < tail; at++ {
		changed := bytes.Clone(payload)
		changed[at] ^= 1
		refuse("a changed byte", c, full().ID, changed)
		refuse("a cut text", c, full().ID, payload[:at])
	}
	refuse("another fingerprint", c, full().ID, bytes.Replace(payload, []byte(hash), []byte("AAAAAAAAAAA"), 1))
	refuse("another key of ours", c, full().ID, bytes.Replace(payload, []byte(c.Keys().IDs()[0]), []byte(c.Keys().IDs()[1]), 1))
	refuse("cut in the line", c, full().ID, payload[:head-1])
}

func TestResealingKeepsTheMessageAndItsFingerprint(t *testing.T) {
	t.Parallel()
	before, both, after := codec(t, olderKey), codec(t, newerKey+","+olderKey), codec(t, newerKey)
	for what, from := range map[string]job.Codec{"sealed": before, "in clear": codec(t, "")} {
		payload, hash := encode(t, from, full())
		resealed, err := both.Reseal(full().ID, payload)
		if err != nil || job.SealedWith(resealed) != after.Keys().Current() {
			t.Fatalf("%s: sealed with %q, %v", what, job.SealedWith(resealed), err)
		}
		got, err := after.Parse(full().ID, resealed)
		if err != nil {
			t.Fatal(err)
		}
		want := full()
		want.Fingerprint = hash
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: it came back changed (-want +got):\n%s", what, diff)
		}
		if again, err := both.Reseal(full().ID, resealed); again != nil || err != nil {
			t.Errorf("%s: resealed twice: %v", what, err)
		}
	}
	payload, _ := encode(t, before, full())
	if _, err := after.Reseal(full().ID, payload); err == nil {
		t.Error("resealed without the key that opens")
	}
	// A field that this version does not know stays.
	unknown := []byte(`{"v":1,"id":"x","c":"bulk","to":"o1","later":"x"}` + "\n{}")
	resealed, err := after.Reseal("x", unknown)
	if err != nil || len(resealed)-len(unknown) < seal.Overhead {
		t.Errorf("resealed to %d bytes of %d, %v", len(resealed), len(unknown), err)
	}
}

// The fingerprint tells a repeated call from a reused ID while keys are switched on and
// rotated, and confirms no guess without the key.
func TestAFingerprintComparesAcrossKeys(t *testing.T) {
	t.Parallel()
	other := full()
	other.Body = []byte(strings.Replace(string(other.Body), "已", "未", 1))
	test := full()
	test.Test = true
	both := codec(t, newerKey+","+olderKey)
	hashes := map[string]bool{}
	for _, keys := range []string{"", olderKey, newerKey} {
		_, hash := encode(t, codec(t, keys), full())
		hashes[hash] = true
		if !both.SameContent(full(), hash) {
			t.Errorf("keys %.8s: the same message is another one", keys)
		}
		if both.SameContent(other, hash) || both.SameContent(test, hash) {
			t.Errorf("keys %.8s: another message is the same one", keys)
		}
	}
	if len(hashes) != 3 {
		t.Errorf("the fingerprints are %v", hashes)
	}
	_, hash := encode(t, codec(t, olderKey), full())
	if codec(t, newerKey).SameContent(full(), hash) || codec(t, "").SameContent(full(), hash) {
		t.Error("a fingerprint was confirmed without its key")
	}
	elsewhere := job.NewCodec("wx2", codec(t, olderKey).Keys())
	if _, there := encode(t, elsewhere, full()); there == hash {
		t.Error("two accounts have one fingerprint")
	}
}
