package gateway_test

import (
	"testing"

	"github.com/wxnotify/wxnotify/internal/apikey"
	"github.com/wxnotify/wxnotify/wechat"
)

// A server of WeChat's may take another spelling for the same path: it would answer the
// account's real token, or send past the queue and the key's guest list.
func TestOwnPathsInAnotherSpellingAreNotPassedOn(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, nil) // with all of /cgi-bin/
	token := s.token(t, secret)
	for _, path := range []string{"/cgi-bin/token/", "/cgi-bin/Token", "/cgi-bin/stable_token/", "/cgi-bin/STABLE_TOKEN", wechat.SendPath + "/", "/cgi-bin/message/template/Send"} {
		for _, query := range []string{"access_token=" + token, "grant_type=client_credential&appid=" + appid + "&secret=" + secret} {
			errcode(t, s.do(t, "GET", path+"?"+query, ""), 40066)
			errcode(t, s.do(t, "POST", path+"?"+query, card), 40066)
		}
	}
	if calls := s.platform.CallsByPath(); len(calls) != 0 {
		t.Errorf("calls went through: %v", calls)
	}
}

// Only calls of web authorisation have the AppSecret put in place of a key.
func TestTheAppSecretIsGivenToWebAuthorisationAlone(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	secret := s.key(t, nil)
	for _, path := range []string{"/cgi-bin/user/info", "/cgi-bin/clear_quota/v2", "/cgi-bin/ticket/getticket"} {
		errcode(t, s.do(t, "GET", path+"?appid="+appid+"&secret="+secret, ""), 41001)
	}
	if calls := s.platform.CallsByPath(); len(calls) != 0 {
		t.Errorf("calls went through: %v", calls)
	}
}

// A guest key reaches its guest list, a test key no follower: not by other calls that
// write to followers, and not with the account's token either.
func TestKeysThatAreNotLiveWriteToNoOtherFollower(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for kind, change := range map[apikey.Kind]func(*apikey.Key){
		apikey.Guest: func(k *apikey.Key) { k.Kind, k.Guests = apikey.Guest, []string{"oSIM1"} },
		apikey.Test:  func(k *apikey.Key) { k.Kind = apikey.Test },
	} {
		token := s.token(t, s.key(t, change))
		for _, path := range []string{"/cgi-bin/message/custom/send", "/cgi-bin/message/mass/sendall", "/cgi-bin/Message/subscribe/bizsend"} {
			errcode(t, s.do(t, "POST", path+"?access_token="+token, `{"touser":"oSIM2"}`), 48001)
		}
		k := apikey.Key{Name: "sdk", Scopes: []apikey.Scope{apikey.Gateway, apikey.Token}}
		change(&k)
		if _, _, err := s.store.Create(t.Context(), k); err == nil {
			t.Errorf("a %s key gets the account's token", kind)
		}
	}
	if calls := s.platform.CallsByPath(); len(calls) != 0 {
		t.Errorf("calls went through: %v", calls)
	}
	live := s.token(t, s.key(t, nil))
	if a := s.do(t, "POST", "/cgi-bin/message/custom/send?access_token="+live, `{"touser":"oSIM2"}`); a["errcode"] == 48001.0 {
		t.Errorf("a live key: %v", a)
	}
}
