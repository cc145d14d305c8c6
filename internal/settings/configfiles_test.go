package settings_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/wxnotify/wxnotify/internal/settings"
	"github.com/wxnotify/wxnotify/internal/testutil"
)

const (
	schemaPath     = "../../docs/wxnotify.schema.json"
	envExamplePath = "../../.env.example"
)

// TestGoldenConfigSchema keeps the JSON schema of the configuration file equal
// to the table of settings.
func TestGoldenConfigSchema(t *testing.T) {
	t.Parallel()
	text, err := json.MarshalIndent(configSchema(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	testutil.Golden(t, *update, schemaPath, string(text)+"\n")
}

// TestGoldenEnvExample keeps .env.example equal to the table of settings.
func TestGoldenEnvExample(t *testing.T) {
	t.Parallel()
	testutil.Golden(t, *update, envExamplePath, envExample())
}

// configSchema describes the file that --config names.
func configSchema() map[string]any {
	common, account := map[string]any{}, map[string]any{}
	for _, s := range settings.Table() {
		for key, schema := range settingSchema(s) {
			common[key] = schema
			if s.Account {
				account[key] = schema
			}
		}
	}
	common["accounts"] = map[string]any{
		"type": "array", "description": "several accounts; each entry inherits what it does not set itself",
		"items": map[string]any{"type": "object", "additionalProperties": false, "required": []string{"appid"}, "properties": account},
	}
	return map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Configuration file of wxnotify",
		"type": "object", "additionalProperties": false, "properties": common,
	}
}

// settingSchema describes one setting, and its _file form.
func settingSchema(s settings.Setting) map[string]any {
	schema := map[string]any{"description": s.Usage, "type": "string"}
	rule, arg, _ := strings.Cut(s.Rule, " ")
	switch kind := s.Type.Kind(); {
	case rule == "oneof":
		schema["enum"] = strings.Fields(arg)
	case kind == reflect.Slice:
		schema["type"] = []string{"string", "array"}
		schema["items"] = map[string]any{"type": "string"}
	case kind == reflect.Bool:
		schema["type"] = "boolean"
	case kind == reflect.Float64:
		schema["type"] = "number"
	case rule == "whole":
		schema["type"] = "integer"
		schema["minimum"] = json.Number(arg)
	}
	if s.Default != "" && !s.Secret() {
		schema["default"] = s.Default
		if t := schema["type"]; t == "boolean" || t == "number" || t == "integer" {
			schema["default"] = json.RawMessage(s.Default)
		}
	}
	out := map[string]any{s.Name: schema}
	if s.Secret() {
		schema["description"] = s.Usage + "; file:PATH or env:NAME refers to it"
		out[s.Name+"_file"] = map[string]any{"type": "string", "description": "file that holds " + s.Name}
	}
	return out
}

// envExample lists every variable with its default, as docker and systemd read it.
func envExample() string {
	var b strings.Builder
	b.WriteString("# Settings of wxnotify. Copy to .env and remove the # before a variable to set it.\n" +
		"# No quotes and no comments behind a value: `docker run --env-file` keeps them as part of it.\n" +
		"# A secret may be read from a file instead: WXNOTIFY_APPSECRET_FILE=/run/secrets/appsecret\n")
	for _, s := range settings.Table() {
		fmt.Fprintf(&b, "\n# %s\n#%s=%s\n", s.Usage, s.Env(), s.Default)
	}
	return b.String()
}

// TestConfigSchemaAcceptsWhatTheProgramAccepts, and refuses what it refuses.
func TestConfigSchemaAcceptsWhatTheProgramAccepts(t *testing.T) {
	t.Parallel()
	compiler := jsonschema.NewCompiler()
	text, err := json.Marshal(configSchema())
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for text, accepted := range map[string]bool{
		"rate: 20\nappid: wxa\nkeep: 2h\nerase_unsubscribed: true\nresend: [bulk]\n":                 true,
		"resend: bulk\nappsecret_file: /dev/null\nops_addr: \"-\"\n":                                 true,
		"accounts:\n  - {appid: wxa, rate: 5, appsecret: env:PATH}\n  - {appid: wxb, bind: first}\n": true,
		"raet: 20\n": false, "rate: fast\n": false, "daily_quota: -1\n": false, "callback_mode: safe\n": false,
		"accounts:\n  - {rate: 5}\n": false, "accounts:\n  - {appid: wxa, concurrency: 5}\n": false, "accounts: wxa\n": false,
		"callback_token: 123456789\n": false, "rate_file: x\n": false,
	} {
		file, err := yaml.Parser().Unmarshal([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		bySchema := schema.Validate(normal(t, file))
		_, byProgram := settings.Load(testutil.File(t, "c.yaml", text), map[string]string{"PATH": "secret", "WXNOTIFY_WECHAT_BASE_URL": "http://sim"}, nil, settings.Everything)
		if (bySchema == nil) != accepted || (byProgram == nil) != accepted {
			t.Errorf("%q: accepted should be %v\nschema: %v\nprogram: %v", text, accepted, bySchema, byProgram)
		}
	}
}

// normal gives v the types that the schema library knows.
func normal(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// In plain mode the signature covers neither the body nor the account: a Token of two
// accounts would let each take what was pushed for the other.
func TestPlainModeNeedsATokenOfItsOwn(t *testing.T) {
	t.Parallel()
	const a, b, shared, own = "  - {appid: wxa", "  - {appid: wxb", ", callback_token: abcdefghijklmnopq", ", callback_token: qponmlkjihgfedcba"
	const plain, secure, key, before = ", callback_mode: plain", ", callback_mode: secure", ", encoding_aes_key: " + canaryAESKey, ", callback_previous_until: 2126-12-01T00:00:00+08:00, callback_token_previous: abcdefghijklmnopq"
	for name, tt := range map[string]struct {
		accounts string
		refused  bool
	}{
		"both plain":            {a + shared + plain + "}\n" + b + shared + plain, true},
		"one plain, one secure": {a + shared + key + secure + "}\n" + b + shared + plain, true},
		"the previous Token":    {a + own + before + plain + "}\n" + b + shared + plain, true},
		"both secure":           {a + shared + key + "}\n" + b + shared + key, false},
		"two Tokens":            {a + shared + plain + "}\n" + b + own + plain, false},
		"one without a Token":   {a + shared + plain + "}\n" + b + plain, false},
	} {
		file := testutil.File(t, "c.yaml", "accounts:\n"+tt.accounts+"}\n")
		_, err := settings.Load(file, nil, nil, settings.Publishing)
		if told := err != nil && strings.Contains(err.Error(), "has the callback_token of wx") && strings.Contains(err.Error(), "give it a Token of its own"); told != tt.refused {
			t.Errorf("%s: refused %v, want %v: %v", name, told, tt.refused, err)
		}
		if err != nil && strings.Contains(err.Error(), "abcdefgh") {
			t.Errorf("%s: the Token is shown: %v", name, err)
		}
	}
	file := testutil.File(t, "c.yaml", "callback_token: abcdefghijklmnopq\ncallback_mode: plain\nwechat_base_url: http://127.0.0.1:8090\naccounts:\n  - {appid: wxa}\n  - {appid: wxb}\n")
	if _, err := settings.Load(file, nil, nil, settings.Publishing); err != nil {
		t.Errorf("with a simulator: %v", err)
	}
}
