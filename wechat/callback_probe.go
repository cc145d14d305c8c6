package wechat

import (
	"net/url"
	"strconv"
	"time"
)

// probeAppID is the appid in the encrypted text of Probe. No account has it.
const probeAppID = "wxnotify-probe"

// Probe returns the query and the body of a POST by which an operator finds out whether
// a callback address has the same Token, mode and EncodingAESKey as c. The address
// refuses it in any case, so that nothing is taken for a push: with equal settings it is
// signed by SignForward in plain mode (see Forwarded), and refused for
// CallbackFaultAppID in compat and secure mode. Otherwise the fault says what differs.
func (c *Callback) Probe(now time.Time) (query url.Values, body []byte, err error) {
	if c.mode == CallbackPlain {
		return c.SignForward("", now), nil, nil
	}
	text, err := encrypt(c.aesKeys[0].Value, probeAppID, []byte("<xml></xml>"))
	if err != nil {
		return nil, nil, err
	}
	timestamp, nonce := strconv.FormatInt(now.Unix(), 10), newNonce()
	return url.Values{
		"timestamp": {timestamp}, "nonce": {nonce}, "encrypt_type": {"aes"},
		"msg_signature": {signature(c.tokens[0].Value.Reveal(), timestamp, nonce, text)},
	}, []byte("<xml><Encrypt><![CDATA[" + text + "]]></Encrypt></xml>"), nil
}
