package attack

import (
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// refused lets a client in by no means: the CONNACK says 5, then the connection
// ends, and log and timeline say why.
func refused(t *testing.T, g *target, id hub.Identity, hello *mqtt.Connect, code hub.Code, words string) {
	t.Helper()
	p := dialTLS(t, g, mqttPort)
	got, err := p.ask(hello)
	if err != nil {
		t.Fatalf("no CONNACK: %v", err)
	}
	if got != code.Connack() || got == 0 {
		t.Fatalf("CONNACK %d, want %d", got, code.Connack())
	}
	if rest := p.closed(t); len(rest) > 0 {
		t.Errorf("% x came behind the CONNACK", rest)
	}
	g.told(t, p, id, code, words)
	_, sig, _ := strings.Cut(string(hello.Password), "sig=")
	if len(sig) > 20 && strings.Trim(sig[:20], "A-") != "" && strings.Contains(g.Log.String(), sig[:20]) {
		t.Error("the log holds a signature")
	}
}

// TestResourceTricks is about sr: the attacker has a token that a service made
// for dev1 by a policy's key, and wants to be dev10 with it.
func TestResourceTricks(t *testing.T) {
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	attacker, victim := g.create(t, "dev1"), g.create(t, "dev10")
	g.create(t, "dev10/mod")
	h, policy := g.Ready.HostName, g.policies["device"]
	const covers, host = "does not cover", "is for the host"
	for name, c := range map[string]struct{ sr, words string }{
		"its own":                        {attacker.sr(), covers},
		"its own, raw":                   {h + "/devices/dev1", covers},
		"a slash at the end":             {h + "/devices/dev1/", covers},
		"an encoded slash at the end":    {h + "/devices/dev1%2F", covers},
		"an encoded 0":                   {h + "/devices/dev1%2F0", covers},
		"NUL":                            {h + "/devices/dev10%00", covers},
		"NUL before the end":             {h + "/devices/dev1%000", covers},
		"up and down":                    {h + "/devices/dev1/../dev10", covers},
		"up and down, encoded":           {h + "/devices/dev1%2F..%2Fdev10", covers},
		"up and down, encoded twice":     {h + "/devices/dev1%252F%252E%252E%252Fdev10", covers},
		"encoded three times":            {h + "/devices/dev%25253130", covers},
		"upper case":                     {h + "/devices/DEV10", covers},
		"upper case of the segment":      {h + "/Devices/dev10", covers},
		"full width":                     {h + "/devices/%EF%BD%84ev10", covers},
		"a Cyrillic e":                   {h + "/devices/d%D0%B5v10", covers},
		"a space that has no width":      {h + "/devices/dev10%E2%80%8B", covers},
		"a space":                        {h + "/devices/dev10%20", covers},
		"a plus for a space":             {h + "/devices/dev10+", covers},
		"two slashes":                    {h + "//devices/dev10", covers},
		"two slashes before the id":      {h + "/devices//dev10", covers},
		"two slashes at the end of dev1": {h + "/devices/dev1//", covers},
		"a module's":                     {h + "/devices/dev10/modules/mod", covers},
		"an MQTT wildcard":               {h + "/devices/+", covers},
		"an MQTT wildcard for all":       {h + "/devices/#", covers},
		"a NATS wildcard":                {h + "/devices/*", covers},
		"a query":                        {h + "/devices/dev1?/devices/dev10", covers},
		"a fragment":                     {h + "/devices/dev1%23/devices/dev10", covers},
		"another kind of resource":       {h + "/twins/dev10", covers},
		"messages of the hub":            {h + "/messages/events", covers},
		"no host":                        {"/devices/dev10", host},
		"a scheme":                       {"https%3A%2F%2F" + h + "%2Fdevices%2Fdev10", host},
		"a host behind the host":         {h + ".example%2Fdevices%2Fdev10", host},
		"a user before the host":         {"x%40" + h + "%2Fdevices%2Fdev10", host},
		"two ports":                      {h + ":1:2%2Fdevices%2Fdev10", host},
		"a bad escape before the slash":  {h + "%zz%2Fdevices%2Fdev10", host},
	} {
		t.Run(name, func(t *testing.T) {
			hello := victim.hello()
			hello.Password = []byte(forge(c.sr, inAnHour(), policy, "device"))
			refused(t, g, victim.id, hello, hub.Unauthorized, c.words)
		})
	}
	w.finish(t)
}

// TestStolenID is about who signs: the attacker has the id of dev10 and keys
// that are good for something else, and tries policies that are not his.
func TestStolenID(t *testing.T) {
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	attacker, victim, module := g.create(t, "dev1"), g.create(t, "dev10"), g.create(t, "dev10/mod")
	other := start(t)
	twin := other.create(t, "dev10") // of another hub
	h, se := g.Ready.HostName, inAnHour()
	const neither, none, permission = "neither key", "there is no policy", "has no DeviceConnect"
	refusedTokens(t, g, victim, map[string]badToken{
		"another device's key":            {forge(victim.sr(), se, attacker.primary, ""), neither},
		"another device's secondary key":  {forge(victim.sr(), se, attacker.secondary, ""), neither},
		"its module's key":                {forge(victim.sr(), se, module.primary, ""), neither},
		"another hub's key for that id":   {forge(victim.sr(), se, twin.primary, ""), neither},
		"for the hub, by a device's key":  {forge(h, se, attacker.primary, ""), neither},
		"a key of no bytes":               {forge(victim.sr(), se, nil, ""), neither},
		"the key as text":                 {forge(victim.sr(), se, []byte("dev10"), ""), neither},
		"a policy's key, empty skn":       {forge(victim.sr(), se, g.policies["device"], "") + "&skn=", neither},
		"a policy's key, no skn":          {forge(victim.sr(), se, g.policies["iothubowner"], ""), neither},
		"the owner, by its own key":       {forge(victim.sr(), se, victim.primary, "iothubowner"), neither},
		"the owner, by the device policy": {forge(victim.sr(), se, g.policies["device"], "iothubowner"), neither},
		"device, by the owner's key":      {forge(victim.sr(), se, g.policies["iothubowner"], "device"), neither},
		"a policy for services":           {forge(victim.sr(), se, g.policies["service"], "service"), permission},
		"a policy for the registry":       {forge(victim.sr(), se, g.policies["registryReadWrite"], "registryReadWrite"), permission},
		"a policy of another hub":         {forge(victim.sr(), se, other.policies["device"], "device"), neither},
		"skn in upper case":               {forge(victim.sr(), se, g.policies["device"], "DEVICE"), none},
		"skn with a slash":                {forge(victim.sr(), se, g.policies["device"], "device%2F"), none},
		"skn with a way up":               {forge(victim.sr(), se, g.policies["device"], "..%2Fdevice"), none},
		"skn with NUL":                    {forge(victim.sr(), se, g.policies["device"], "device%00"), none},
		"skn with a new line":             {forge(victim.sr(), se, g.policies["device"], "device%0D%0Ax"), none},
		"skn with a space":                {forge(victim.sr(), se, g.policies["device"], "device%20"), none},
		"skn encoded twice":               {forge(victim.sr(), se, g.policies["device"], "devi%2563e"), none},
		"skn is a NATS wildcard":          {forge(victim.sr(), se, g.policies["device"], "*"), none},
		"skn is every NATS token":         {forge(victim.sr(), se, g.policies["device"], ">"), none},
		"skn is a key of another bucket":  {forge(victim.sr(), se, victim.primary, "dev10"), none},
		"skn is full width":               {forge(victim.sr(), se, g.policies["device"], "%EF%BD%84evice"), none},
		"skn is no UTF-8":                 {forge(victim.sr(), se, g.policies["device"], "%FF"), none},
		"skn of 20,000 bytes":             {forge(victim.sr(), se, g.policies["device"], strings.Repeat("d", 20_000)), none},
		"skn twice":                       {forge(victim.sr(), se, g.policies["device"], "device") + "&skn=iothubowner", "skn twice"},
		"skn twice, once empty":           {forge(victim.sr(), se, victim.primary, "") + "&skn=&skn=device", "skn twice"},
	})
	w.finish(t)
}

// TestTokenTricks is about the text of a token, most of all about when it
// expires: the attacker has one of dev10 that expired ten minutes ago, and the
// time to change it.
func TestTokenTricks(t *testing.T) {
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	victim := g.create(t, "dev10")
	sr, se, key := victim.sr(), "1700000000", victim.primary
	sig, later := sign(sr, se, key), inAnHour()
	parts := func(s ...string) string { return "SharedAccessSignature " + strings.Join(s, "&") }
	stale := forge(sr, se, key, "")
	const expired, neither, number, base64 = "expired", "neither key", "not a number", "not base64"
	refusedTokens(t, g, victim, map[string]badToken{
		"as it is":                    {stale, expired},
		"other order":                 {parts("se="+se, "sr="+sr, "sig="+sig), expired},
		"a later se":                  {parts("sr="+sr, "sig="+sig, "se="+later), neither},
		"a second se":                 {stale + "&se=" + later, "se twice"},
		"a first se":                  {parts("se="+later, "sr="+sr, "sig="+sig, "se="+se), "se twice"},
		"se in upper case":            {stale + "&SE=" + later, expired},
		"se with its name encoded":    {stale + "&%73e=" + later, expired},
		"se behind a semicolon":       {stale + ";se=" + later, number},
		"se with leading zeros":       {parts("sr="+sr, "sig="+sig, "se=000"+se), expired},
		"se below zero":               {forge(sr, "-1", key, ""), number},
		"se below zero that wraps":    {forge(sr, "-9223372036854775808", key, ""), number},
		"se with a sign":              {forge(sr, "%2B"+later, key, ""), number},
		"se in hex":                   {forge(sr, "0x7fffffff", key, ""), number},
		"se with an exponent":         {forge(sr, "9e9", key, ""), number},
		"se with a fraction":          {forge(sr, later+".5", key, ""), number},
		"se encoded":                  {forge(sr, "%32"+later[1:], key, ""), number},
		"se in Arabic digits":         {forge(sr, "٢٩٩٩٩٩٩٩٩٩", key, ""), number},
		"se with a space":             {forge(sr, " "+later, key, ""), number},
		"se of 2^64, wrong key":       {forge(sr, "18446744073709551616", []byte("x"), ""), neither},
		"se of 10,000 digits":         {forge(sr, strings.Repeat("9", 10_000), []byte("x"), ""), neither},
		"se is 0":                     {forge(sr, "0", key, ""), expired},
		"no se":                       {parts("sr="+sr, "sig="+sig), "no se"},
		"empty se":                    {parts("sr="+sr, "sig="+sig, "se="), "no se"},
		"se moved into sr":            {parts("sr="+sr+"%0A"+se, "sig="+sig, "se="+later), "does not cover"},
		"two sr":                      {parts("sr="+sr, "sr="+sr, "sig="+sig, "se="+later), "sr twice"},
		"no sr":                       {parts("sig="+sig, "se="+later), "no sr"},
		"no sig":                      {parts("sr="+sr, "se="+later), "no sig"},
		"empty sig":                   {parts("sr="+sr, "sig=", "se="+later), "no sig"},
		"a sig of padding":            {parts("sr="+sr, "sig=%3D%3D", "se="+later), "has 0 bytes"},
		"a sig of zeros":              {parts("sr="+sr, "sig="+strings.Repeat("A", 43), "se="+later), neither},
		"a sig of 31 bytes":           {parts("sr="+sr, "sig="+strings.Repeat("A", 42), "se="+later), "has 31 bytes"},
		"a sig of 64 KiB, almost":     {parts("sr="+sr, "sig="+strings.Repeat("A", 60_000), "se="+later), "bytes"},
		"a sig with a new line":       {parts("sr="+sr, "sig=%0A"+sig, "se="+later), base64},
		"a sig in base64url":          {parts("sr="+sr, "sig="+strings.Repeat("-", 43), "se="+later), base64},
		"the prefix in lower case":    {strings.ToLower("SharedAccessSignature ") + stale[22:], "no SAS token"},
		"another scheme":              {"Bearer " + stale[22:], "no SAS token"},
		"a space before":              {" " + stale, "no SAS token"},
		"two spaces":                  {"SharedAccessSignature  " + stale[22:], "no sr"},
		"60,000 bytes of other names": {stale + strings.Repeat("&x=y", 15_000), expired},
		"60,000 bytes of ampersands":  {stale + strings.Repeat("&", 60_000), expired},
		"only the prefix":             {"SharedAccessSignature ", "no sr"},
	})
	w.finish(t)
}

// badToken is a token, and what the reason of its refusal says.
type badToken struct{ token, words string }

// refusedTokens has victim come with each of them.
func refusedTokens(t *testing.T, g *target, victim *device, tokens map[string]badToken) {
	t.Helper()
	for name, c := range tokens {
		t.Run(name, func(t *testing.T) {
			hello := victim.hello()
			hello.Password = []byte(c.token)
			refused(t, g, victim.id, hello, hub.Unauthorized, c.words)
		})
	}
}

// TestNameTricks is about user name and client id, which say who comes.
func TestNameTricks(t *testing.T) {
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	attacker, victim := g.create(t, "dev1"), g.create(t, "dev10")
	h := g.Ready.HostName
	const options = "/?api-version=2021-04-12"
	for name, c := range map[string]struct {
		clientID, username string
		code               hub.Code
		words              string
	}{
		"the victim's client id":              {"dev10", h + "/dev1" + options, hub.Unauthorized, "client id"},
		"the victim's user name":              {"dev1", h + "/dev10" + options, hub.Unauthorized, "client id"},
		"both the victim's":                   {"dev10", h + "/dev10" + options, hub.Unauthorized, "does not cover"},
		"client id in upper case":             {"DEV1", h + "/dev1" + options, hub.Unauthorized, "client id"},
		"both in upper case":                  {"DEV1", h + "/DEV1" + options, hub.DeviceNotFound, "DEV1"},
		"client id with a slash":              {"dev1/", h + "/dev1" + options, hub.Unauthorized, "client id"},
		"a way up":                            {"dev1/..", h + "/dev1/../dev10" + options, hub.ModuleNotFound, "dev1/.."},
		"a way up, encoded":                   {"dev1%2F..%2Fdev10", h + "/dev1%2F..%2Fdev10" + options, hub.DeviceNotFound, "dev1%2F..%2Fdev10"},
		"an encoded slash":                    {"dev10%2F", h + "/dev10%2F" + options, hub.DeviceNotFound, "dev10%2F"},
		"an encoded letter":                   {"%64ev10", h + "/%64ev10" + options, hub.DeviceNotFound, "%64ev10"},
		"options that name the victim":        {"dev10", h + "/dev1/?api-version=2021-04-12&/dev10", hub.Unauthorized, "client id"},
		"a Cyrillic e":                        {"dеv10", h + "/dеv10" + options, hub.Unauthorized, "no valid device id"},
		"full width":                          {"ｄev10", h + "/ｄev10" + options, hub.Unauthorized, "no valid device id"},
		"no device id":                        {"dev10", h + options, hub.Unauthorized, "client id"},
		"an id of 60,000 bytes":               {"dev10", h + "/" + strings.Repeat("d", 60_000) + options, hub.Unauthorized, "no valid device id"},
		"a client id of 60,000 bytes":         {strings.Repeat("d", 60_000), h + "/dev1" + options, hub.Unauthorized, "client id"},
		"a NATS wildcard":                     {"*", h + "/*" + options, hub.DeviceNotFound, "*"},
		"an MQTT wildcard":                    {"#", h + "/#" + options, hub.DeviceNotFound, "#"},
		"a dot, as between device and module": {"dev10.mod", h + "/dev10.mod" + options, hub.DeviceNotFound, "dev10.mod"},
		"the encoding of a key":               {"dev1=30", h + "/dev1=30" + options, hub.DeviceNotFound, "dev1=30"},
		"every NATS token":                    {">", h + "/>" + options, hub.Unauthorized, "no valid device id"},
		"a space":                             {"dev1 ", h + "/dev1 " + options, hub.Unauthorized, "no valid device id"},
		"a new line":                          {"dev1\n", h + "/dev1\n" + options, hub.Unauthorized, "no valid device id"},
		"60,000 slashes":                      {"dev10", h + strings.Repeat("/", 60_000), hub.Unauthorized, "device id"},
		"another hub":                         {"dev1", "other.example/dev1" + options, hub.Unauthorized, "other.example"},
		"another hub of 60,000 bytes":         {"dev1", strings.Repeat("x", 60_000) + "/dev1" + options, hub.Unauthorized, "not shown"}, // it may be a secret
		"a user before the host":              {"dev1", "x@" + h + "/dev1" + options, hub.Unauthorized, "not shown"},
	} {
		t.Run(name, func(t *testing.T) {
			hello := attacker.hello()
			hello.ClientID, hello.Username = []byte(c.clientID), []byte(c.username)
			refused(t, g, victim.id, hello, c.code, c.words)
		})
	}
	for _, d := range []*device{attacker, victim} {
		if n := g.connections(t, d); n != 0 {
			t.Errorf("%s has %d connection events, want none", d.id, n)
		}
	}
	w.finish(t)
}

// TestPercentIDs has a device whose id, read once more, is the victim's, and a
// token that a service made for it: good for the device, and for nobody else,
// however it is encoded.
func TestPercentIDs(t *testing.T) {
	g := start(t)
	attacker, victim := g.create(t, "victi%6d"), g.create(t, "victim")
	module := g.create(t, "victim/mod")
	slashed := g.create(t, "victim%2Fmodules%2Fmod")
	policy, h, se := g.policies["device"], g.Ready.HostName, inAnHour()
	thief := g.create(t, "thief")
	odd := g.create(t, "thie%66")
	reencoded := "SharedAccessSignature sr=" + h + "/devices/thie%66&sig=" + sign(h+"/devices/thief", se, policy) + "&se=" + se + "&skn=device"
	for name, c := range map[string]struct {
		as    *device
		token string
		words string
	}{
		"decoded once more":           {victim, forge(attacker.sr(), se, policy, "device"), "names victi%6d"},
		"raw, decoded once":           {victim, forge(h+"/devices/victi%6d", se, policy, "device"), "names victi%6d"},
		"a module behind the slash":   {module, forge(slashed.sr(), se, policy, "device"), "names victim%2Fmodules%2Fmod"},
		"encoded after it was signed": {odd, reencoded, "names thief"},
	} {
		t.Run(name, func(t *testing.T) {
			hello := c.as.hello()
			hello.Password = []byte(c.token)
			refused(t, g, c.as.id, hello, hub.Unauthorized, c.words)
		})
	}
	for _, d := range []*device{attacker, victim, module, slashed, thief, odd} {
		hello := d.hello()
		hello.Password = []byte(forge(d.sr(), se, policy, "device"))
		p := dialTLS(t, g, mqttPort)
		p.welcomed(t, hello)
		if err := p.publish(d.events(""), "x"); err != nil {
			t.Errorf("%s: %v", d.id, err)
		}
	}
}
