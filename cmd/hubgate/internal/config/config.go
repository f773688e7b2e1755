// Package config is what a node can be told: one struct, filled from its
// defaults, one YAML file, the environment and flags, each of which overrides
// the one before. A key that nobody knows, a value that does not fit and
// listeners that contradict each other are errors: a typing mistake must never
// open a door.
//
// docs/configuration.md is generated from the tags of the struct:
//
//	key    the name in the file; with its parents' names, the key's path
//	flag   the command-line flag, without which there is none
//	enum   the values allowed
//	secret the value may hold a password and is masked when printed
//	doc    what it means, in one or a few sentences
package config

// Config is the configuration of a node. A path such as hub.host names each
// value in messages. The zero value is not useful: use [Default].
type Config struct {
	DataDir string  `key:"data_dir" flag:"data-dir" doc:"Directory of everything the node keeps: the certificates it makes, the embedded NATS server's streams and credentials. Empty: $XDG_DATA_HOME/hubgate, else ~/.local/share/hubgate; on macOS ~/Library/Application Support/hubgate; on Windows %AppData%\\hubgate."`
	Profile Profile `key:"profile" flag:"profile" enum:"relaxed,strict-azure,strict-azure-s1,strict-azure-s2,strict-azure-s3" doc:"Numbers and rules of keys that are not set. relaxed: the defaults on this page, the numbers of IoT Hub with kinder rules. strict-azure: IoT Hub's in all, to find out on Hubgate what would fail there; with -s1, -s2 or -s3, the rates of rates.units units of that tier too. A key that is set, in whichever place, counts more than the profile."`
	Node    string  `key:"node" flag:"node" doc:"Name of this node in sessions and events. Empty: the machine's name."`

	Hub            Hub            `key:"hub"`
	Listen         Listen         `key:"listen"`
	TLS            TLS            `key:"tls"`
	Limits         Limits         `key:"limits"`
	Rates          Rates          `key:"rates"`
	Telemetry      Telemetry      `key:"telemetry"`
	Events         Events         `key:"events"`
	C2D            C2D            `key:"c2d"`
	Twins          Twins          `key:"twins"`
	Methods        Methods        `key:"methods"`
	Configurations Configurations `key:"configurations"`
	Jobs           Jobs           `key:"jobs"`
	Durability     Durability     `key:"durability"`
	NATS           NATS           `key:"nats"`
	API            API            `key:"api"`
	Admin          Admin          `key:"admin"`
	Auth           Auth           `key:"auth"`
	Tracing        Tracing        `key:"tracing"`
	Log            Log            `key:"log"`

	// Policies stand in a section of their own, which only the file has.
	Policies []Policy

	origins map[string]string // path to where the value comes from
}

// Hub says what devices call the hub.
type Hub struct {
	Host    string   `key:"host" flag:"host" doc:"Host name of the hub, as devices dial it: HostName in connection strings. A DNS name or an IPv4 address, without a port. hubgate dev: 127.0.0.1 if not set; hubgate serve: required. The C SDK refuses a name without a dot."`
	Aliases []string `key:"aliases" flag:"alias" doc:"Other names of the hub that devices may use in their user name and token, for example the IoT Hub they come from."`
}

// Listen says where the node listens.
type Listen struct {
	Address       []string `key:"address" flag:"listen" doc:"IP addresses to listen on. Empty: the hub's host if that is a loopback address, both loopback addresses if it is localhost, else all interfaces."`
	MQTTPort      int      `key:"mqtt_port" flag:"mqtt-port" doc:"Port of MQTT over TLS; 0 takes any free one. SDKs other than Node's have 8883 built in."`
	HTTPSPort     int      `key:"https_port" flag:"https-port" doc:"Port of HTTPS and MQTT over WebSocket; 0 takes any free one. SDKs have 443 built in."`
	Plain         string   `key:"plain" flag:"plain-listen" doc:"Address and port of a listener for MQTT without TLS, for benches and sidecars, such as 127.0.0.1:1883. Empty: none. Tokens and messages pass it readable."`
	PlainInsecure bool     `key:"plain_insecure" flag:"plain-insecure" doc:"Allow listen.plain on an address that is not loopback."`
}

// TLS says what the listeners show. hubgate dev makes its own certificates.
type TLS struct {
	CertFiles []string `key:"cert_files" flag:"tls-cert" doc:"PEM files of the server's certificates, each with its chain. A client gets one for the name that it asks for, else one for the name of the first; ECDSA if it can, and RSA for old stacks. See docs/certificates.md. hubgate serve: required."`
	KeyFiles  []string `key:"key_files" flag:"tls-key" doc:"PEM files of their private keys, in the same order."`

	ClientCAFiles  []string `key:"client_ca_files" flag:"tls-client-ca" doc:"PEM or DER files of certificate authorities that vouch for devices with the authentication type certificateAuthority, beside those that hubgate authority registers. Whoever is named here is trusted without proof."`
	CRLFiles       []string `key:"crl_files" flag:"tls-crl" doc:"PEM or DER files of revocation lists (CRL), of these authorities or of intermediate ones below them. What they revoke is refused and cut."`
	IssuerCertFile string   `key:"issuer_cert_file" flag:"tls-issuer-cert" doc:"PEM file of the certificate authority that issues certificates to devices which renew theirs in-band, and behind it those above, if devices are to show them. The first is trusted as those of tls.client_ca_files. Empty: nothing is issued. hubgate dev makes its own."`
	IssuerKeyFile  string   `key:"issuer_key_file" flag:"tls-issuer-key" doc:"PEM file of its private key."`
	IssuedLifetime Duration `key:"issued_lifetime" doc:"How long what is issued is valid, 1h to 3650d; never longer than the authority."`
	IssueToSAS     bool     `key:"issue_to_sas" doc:"Issue certificates also to identities that authenticate by SAS token, before they are switched to certificates. Otherwise they are refused with 412005."`

	CRLStrict bool `key:"crl_strict" doc:"Refuse all certificates of an issuer whose revocation lists have all expired. Otherwise an expired list goes on to revoke what it revokes, and the log warns."`
}

// Limits bound what peers can use.
type Limits struct {
	MaxPacket        Bytes    `key:"max_packet" doc:"Largest MQTT packet: 256 KiB of message, 64 KiB of topic with its properties, and headers. A CONNECT has 64 KiB at most, its will included."`
	HandshakeTimeout Duration `key:"handshake_timeout" doc:"How long a TLS handshake may take."`
	ConnectTimeout   Duration `key:"connect_timeout" doc:"How long a client may take from there to CONNECT."`
	HalfOpen         int      `key:"half_open" doc:"How many peers may be in a handshake; further ones displace the one for whom the node has waited longest, or wait."`
	Connections      int      `key:"connections" doc:"How many clients may be connected to this node. 0: no limit."`
	Window           int      `key:"window" doc:"How many messages of one connection may wait for JetStream; then the connection is read no further."`
	WindowBytes      Bytes    `key:"window_bytes" doc:"The same in bytes."`
	WriteTimeout     Duration `key:"write_timeout" doc:"How long a client may take to read what it is sent."`
	Duplicates       string   `key:"duplicates" enum:"newest,oldest,quarantine" doc:"What happens when several clients fight for one identity, six take-overs within a minute: the newest connection stays, as with IoT Hub; the oldest stays while they fight; or all are cut and nobody is let in for limits.quarantine."`
	Quarantine       Duration `key:"quarantine" doc:"For how long nobody is let in, with limits.duplicates: quarantine."`
	Memory           Bytes    `key:"memory" doc:"How much unfinished packets and unread output may take of all connections; then those are cut with 429001 that hold most. 0: no limit."`
	Penalty          Duration `key:"penalty" doc:"For how long at most an address or a client is refused, without looking at its credentials, that had bad ones too often: 1s the first time, then twice as long each time. 0: never."`
	PenaltyExempt    []string `key:"penalty_exempt" doc:"Addresses and networks that are never refused as a whole, such as those of load balancers, behind which all devices have one address."`
	Drain            Duration `key:"drain" doc:"Over which time connections are closed, in waves, when the node stops: 1ms for each, this at most."`
}

// Telemetry says how device messages are stored.
type Telemetry struct {
	Shards           int      `key:"shards" doc:"Into how many streams messages are divided, by their device, 1 to 64. More where one stream can't take what comes. It can be changed at any time, node by node; see docs/jetstream.md."`
	MaxAge           Duration `key:"max_age" doc:"How long messages are kept, 100ms at least. 0: 7d for a stream that is made; an existing one stays as it is."`
	MaxBytes         Bytes    `key:"max_bytes" doc:"How much each of the streams keeps; the oldest messages go first. 0: 10GiB for all, or as much as there is room for, for a stream that is made; an existing one stays as it is."`
	StoreTimeout     Duration `key:"store_timeout" doc:"How long a message may wait for JetStream before its connection is closed without an acknowledgement."`
	MaxInFlight      int      `key:"max_in_flight" doc:"How many messages of all connections may wait for JetStream, 1 to 1048576; then sockets are read more slowly."`
	MaxInFlightBytes Bytes    `key:"max_in_flight_bytes" doc:"The same in bytes."`
}

// Events says how long events are kept.
type Events struct {
	MaxAge   Duration `key:"max_age" doc:"How long events are kept, 100ms at least. 0: 7d for a stream that is made; an existing one stays as it is."`
	MaxBytes Bytes    `key:"max_bytes" doc:"How much is kept. 0: 1GiB for a stream that is made; an existing one stays as it is."`
}

// Unsubscribed is what becomes of messages without a subscription.
type Unsubscribed string

// The values of c2d.unsubscribed.
const (
	UnsubscribedKeep    Unsubscribed = "keep"
	UnsubscribedDiscard Unsubscribed = "discard"
)

// C2D says what cloud-to-device messages may be. All nodes of a hub need the
// same.
type C2D struct {
	QueueDepth       int          `key:"queue_depth" doc:"How many messages may wait for one device, 1 to 10000; the next one is refused with 403004. The stream is changed at the start; it is not lowered while a queue holds more. 0: 50 for a stream that is made; an existing one stays as it is."`
	MaxDeliveryCount int          `key:"max_delivery_count" doc:"How often a message is delivered in vain before it becomes a dead letter, 1 to 100."`
	LockDuration     Duration     `key:"lock_duration" doc:"How long a device may take to acknowledge a message before it is delivered again, 5s to 5m."`
	DefaultTTL       Duration     `key:"default_ttl" doc:"How long a message waits that does not say when it expires, 1m to c2d.max_ttl."`
	MaxTTL           Duration     `key:"max_ttl" doc:"How long any message may wait, 1m to 30d; one that would expire later is refused with 403009."`
	MaxSize          Bytes        `key:"max_size" doc:"How large a message may be with its properties, 1KiB to 256KiB; the next byte is refused with 413001."`
	Unsubscribed     Unsubscribed `key:"unsubscribed" enum:"keep,discard" doc:"What becomes of the messages that wait when a device connects and its session has no subscription to them, as always with clean session 1: they are kept until it subscribes, or discarded as IoT Hub does, which makes them dead letters."`
}

// Twins says how twins are delivered.
type Twins struct {
	ReplayDesired bool `key:"replay_desired" doc:"Send all desired properties to a client that subscribes to them, or comes back with that subscription, as if they had changed. For clients that never ask for their twin; IoT Hub does not."`
}

// Methods says how many direct methods may wait.
type Methods struct {
	MaxInFlight   int `key:"max_in_flight" doc:"How many calls may wait for the answers of one device or module, 1 to 10000; the next one is refused with 403800."`
	MaxPending    int `key:"max_pending" doc:"How many calls may be kept for one device or module that is away, 1 to 10000; the next one is refused with 403002."`
	MaxPendingAll int `key:"max_pending_all" doc:"The same of all devices, 1 to 1000000. What all of them take in memory and in the bucket grows with it."`
}

// Jobs is how many scheduled jobs there may be, and how fast they go.
type Jobs struct {
	MaxActive   int  `key:"max_active" doc:"How many scheduled jobs of the hub may run at a time, 1 to 100; the next one that is to begin at once is refused with 429004, and one that was scheduled before waits."`
	MaxInFlight int  `key:"max_in_flight" doc:"With how many devices one job is at work at a time, 1 to 10000."`
	DeviceRate  Rate `key:"device_rate" doc:"With how many devices one job begins, such as 10/s; 0: as fast as it can."`
}

// Configurations says how many configurations there may be.
type Configurations struct {
	Max int `key:"max" doc:"How many configurations and edge deployments there may be, 1 to 10000; the next one is refused with 413101. Each is compared with each change of a twin."`
}

// Sync is when JetStream's files reach the disk.
type Sync string

// The values of durability.sync.
const (
	SyncInterval Sync = "interval"
	SyncGroup    Sync = "group"
	SyncAlways   Sync = "always"
)

// Durability says what an acknowledgement survives. See docs/durability.md.
type Durability struct {
	Sync     Sync     `key:"sync" flag:"sync" enum:"interval,group,always" doc:"When what the embedded NATS server stores is synced to disk: every durability.interval, which a crash of the process survives and power loss may not; before this node acknowledges it, one sync for a group of all that wait (Linux); or always, each message alone, before the server itself acknowledges it."`
	Interval Duration `key:"interval" doc:"How often, with sync: interval; 1ms at least."`
}

// NATS says which NATS server is used.
type NATS struct {
	URL      string   `key:"url" flag:"nats" secret:"true" doc:"URL of the NATS server, or several with commas. hubgate serve needs this or nats.embedded."`
	Embedded bool     `key:"embedded" flag:"embedded" doc:"Run a NATS server in this process instead. hubgate dev always does."`
	Creds    string   `key:"creds" flag:"creds" doc:"Credentials file of the NATS user."`
	NKey     string   `key:"nkey" flag:"nkey" doc:"Seed file of the NATS user, in place of credentials."`
	CA       string   `key:"ca" doc:"PEM file of the authority of the NATS server, in place of the system's."`
	Cert     string   `key:"cert" doc:"PEM file of the certificate that is shown to the NATS server."`
	Key      string   `key:"key" doc:"PEM file of its private key."`
	Wait     Duration `key:"wait" doc:"How long the node waits at its start for a NATS server that answers, and for the leaders of its streams, before it gives up and ends. Until then it takes no connections. 0: it ends at once. The embedded server has as long to read what is on its disk, or a minute with 0."`
	Domain   string   `key:"domain" doc:"JetStream domain, where there are leaf nodes. Of the embedded server: its own; nats.prefix if not set and there is nats.leaf.url."`
	Leaf     Leaf     `key:"leaf"`
	Prefix   string   `key:"prefix" doc:"First token of all subjects and names; hubs with different ones can share an account."`
	Replicas int      `key:"replicas" doc:"Copies of every stream and bucket, 1 to 5; more than 1 needs a NATS cluster. 0: 1 for what is made; existing ones stay as they are."`

	NodeTimeout Duration `key:"node_timeout" doc:"How long a node may give no sign of life until the others end its connections in its place, 1s to 10m. All nodes of a hub should have the same. A node gives five signs in that time."`

	Placement Placement `key:"placement"`

	EncryptionKey    string `key:"encryption_key" doc:"Where the key is by which the embedded server encrypts all that it keeps on disk: a file's path, env:NAME for an environment variable, or credential:NAME for a systemd credential, a file in $CREDENTIALS_DIRECTORY. The key has 32 characters at least, such as those of 'openssl rand -base64 32'. Empty: no encryption. What is there in clear is encrypted at the next start. Without the key nobody can read the data again."`
	EncryptionCipher string `key:"encryption_cipher" enum:"chacha,aes" doc:"How: ChaCha20-Poly1305, or AES-GCM. What the other one has encrypted is converted at the next start."`

	Address  string `key:"address" doc:"IP address of the embedded server's listener for back-end apps and the CLI. It has no TLS."`
	Port     int    `key:"port" flag:"nats-port" doc:"Port of the embedded server's listener; 0 takes any free one."`
	MaxStore Bytes  `key:"max_store" doc:"How much disk the embedded server may use. 0: three quarters of what is free at the start."`
}

// Placement says where JetStream puts streams.
type Placement struct {
	Cluster string   `key:"cluster" doc:"Name of the NATS cluster that has the streams, where there are several. Empty: the one that the node is connected to."`
	Tags    []string `key:"tags" doc:"Tags that a NATS server must have, all of them, to have the streams, such as disk:ssd. What is there is moved when they change."`
}

// Leaf links the embedded server to another NATS. See docs/edge.md.
type Leaf struct {
	URL   string `key:"url" secret:"true" doc:"URL of the listener for leaf nodes of another NATS, or several with commas, such as tls://nats.example.com:7422: the embedded server works as a leaf of it, also for ever without the link. nats.prefix has to be set, another one for each edge. Empty: no link."`
	Creds string `key:"creds" doc:"Credentials file of the user there."`
	CA    string `key:"ca" doc:"PEM file of the authority of the server there, in place of the system's; with it the link has TLS in any case."`
}

// Log says what is logged, to standard error.
type Log struct {
	Level  string `key:"level" flag:"log-level" enum:"trace,debug,info,warn,error" doc:"Lowest level that is logged."`
	Format string `key:"format" flag:"log-format" enum:"auto,console,json" doc:"Form of the lines; auto is console on a terminal and json elsewhere."`
}

// Default returns the configuration of a node that is told nothing.
func Default() *Config {
	return &Config{
		Listen: Listen{MQTTPort: 8883, HTTPSPort: 443},
		Limits: Limits{
			MaxPacket:        321 * KiB,
			HandshakeTimeout: 10 * Second,
			ConnectTimeout:   30 * Second,
			HalfOpen:         4096,
			Window:           64,
			WindowBytes:      MiB,
			WriteTimeout:     10 * Second,
			Memory:           512 * MiB,
			Penalty:          30 * Second,
			Drain:            5 * Second,
			Duplicates:       "newest",
			Quarantine:       300 * Second,
		},
		TLS:     TLS{IssuedLifetime: 90 * 24 * 3600 * Second},
		Rates:   Rates{Units: 1, Burst: Second, AbuseFactor: 10, AbuseAfter: 60 * Second},
		Profile: ProfileRelaxed,
		C2D: C2D{
			MaxDeliveryCount: 10, LockDuration: 60 * Second, DefaultTTL: 3600 * Second, MaxTTL: 48 * 3600 * Second,
			MaxSize: 64 * KiB, Unsubscribed: UnsubscribedKeep,
		},
		Methods:        Methods{MaxInFlight: 1000, MaxPending: 50, MaxPendingAll: 20000},
		Configurations: Configurations{Max: 100},
		Jobs:           Jobs{MaxActive: 10, MaxInFlight: 100},
		Telemetry:      Telemetry{Shards: 1, StoreTimeout: 30 * Second, MaxInFlight: 16384, MaxInFlightBytes: 64 * MiB},
		Durability:     Durability{Sync: SyncInterval, Interval: 120 * Second},
		NATS:           NATS{Prefix: "hub", Wait: 300 * Second, Address: "127.0.0.1", Port: 4222, EncryptionCipher: "chacha", NodeTimeout: 10 * Second},
		Log:            Log{Level: "info", Format: "auto"},
		API:            API{MaxRequests: 1024, MaxIdle: 256, IdleTimeout: 120 * Second},
		Auth:           Auth{OIDC: OIDC{Refresh: 3600 * Second}},
		Tracing:        Tracing{Sample: 0.01},
		origins:        map[string]string{},
	}
}
