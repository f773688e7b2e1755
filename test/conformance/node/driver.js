'use strict';
// Remote control of the Azure IoT device SDK for Node. It reads one JSON command
// a line from standard input and writes one JSON line per answer and per event.
// The Go tests hold the scenarios; the protocol is described in ../doc.go.

const fs = require('fs');
const readline = require('readline');
const { Client, ModuleClient, SharedAccessKeyAuthenticationProvider, Message } = require('azure-iot-device');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
const { NoRetry } = require('azure-iot-common');

const clients = new Map();
const streams = new Map();
const twins = new Map();

function say(line) {
  process.stdout.write(JSON.stringify(line) + '\n');
}

function describe(err) {
  const chain = [];
  for (let e = err; e && chain.length < 8; e = e.transportError || e.innerError || e.amqpError) {
    chain.push(e.name || e.constructor.name);
  }
  return { class: chain[0], chain, message: String(err && err.message) };
}

function construct(cmd) {
  const transport = cmd.transport === 'ws' ? MqttWs : Mqtt;
  const kind = cmd.module ? ModuleClient : Client;
  if (cmd.tokens) {
    return kind.fromSharedAccessSignature(cmd.tokens[0], transport);
  }
  if (cmd.tokenSeconds) {
    const keys = SharedAccessKeyAuthenticationProvider.fromConnectionString(
      cmd.connectionString, cmd.tokenSeconds, cmd.marginSeconds);
    return kind.fromAuthenticationProvider(keys, transport);
  }
  return kind.fromConnectionString(cmd.connectionString, transport);
}

function message(m) {
  const msg = new Message(Buffer.from(m.body || '', 'base64'));
  const plain = {
    messageId: m.messageId, correlationId: m.correlationId, userId: m.userId, to: m.to,
    contentType: m.contentType, contentEncoding: m.contentEncoding, expiryTimeUtc: m.expiry,
  };
  for (const [name, value] of Object.entries(plain)) {
    if (value !== undefined) {
      msg[name] = value;
    }
  }
  if (m.security) {
    msg.setAsSecurityMessage();
  }
  for (const [name, value] of m.properties || []) {
    msg.properties.add(name, value);
  }
  if (m.component) {
    msg.properties.add('dt-subject', m.component);
  }
  return msg;
}

function send(client, m) {
  return m.output ? client.sendOutputEvent(m.output, message(m)) : client.sendEvent(message(m));
}

// pump keeps `window` messages in flight until it is stopped, and reports the fate of each.
function pump(cmd) {
  const state = { running: true, next: 0, pending: new Set() };
  const one = async () => {
    while (state.running) {
      const seq = state.next++;
      state.pending.add(seq);
      try {
        await send(clients.get(cmd.client), { body: Buffer.from(`${cmd.prefix}${seq}`).toString('base64') });
        say({ event: 'confirmed', client: cmd.client, seq });
      } catch (err) {
        say({ event: 'failed', client: cmd.client, seq, error: describe(err) });
      }
      state.pending.delete(seq);
      await new Promise((resolve) => setTimeout(resolve, cmd.pauseMillis));
    }
  };
  for (let i = 0; i < cmd.window; i++) {
    one();
  }
  streams.set(cmd.client, state);
}

// twinOf asks for the twin once: whoever wants to patch it needs the object.
async function twinOf(name) {
  if (!twins.has(name)) {
    const twin = await clients.get(name).getTwin();
    twin.on('error', (err) => say({ event: 'errored', client: name, error: describe(err) }));
    twins.set(name, twin);
  }
  return twins.get(name);
}

// serveMethods registers a handler by each name; the SDK drops calls by other names.
function serveMethods(name, client) {
  const serve = (client.onDeviceMethod || client.onMethod).bind(client);
  for (const echo of ['echo', 'thermostat1*echo']) {
    serve(echo, (request, response) => response.send(207, request.payload, () => {}));
  }
  serve('empty', (request, response) => response.send(204, () => {}));
  serve('silent', () => say({ event: 'called', client: name }));
}

// shown is a message as the SDK gives it to the application.
function shown(m) {
  return {
    body: m.data.toString('base64'), messageId: m.messageId, correlationId: m.correlationId, userId: m.userId, to: m.to,
    contentType: m.contentType, contentEncoding: m.contentEncoding, expiry: m.expiryTimeUtc, ack: m.ack,
    properties: m.properties.propertyList.map(({ key, value }) => [key, value]),
  };
}

// take reports a message from the cloud, and settles it as its property settle says.
function take(name, client, m) {
  say({ event: 'message', client: name, message: shown(m) });
  const verb = m.properties.getValue('settle');
  if (!verb) {
    return;
  }
  const done = (err) => say({ event: 'settled', client: name, status: verb, error: err ? describe(err) : undefined });
  try {
    client[verb](m, done);
  } catch (err) {
    done(err);
  }
}

const operations = {
  async open(cmd) {
    const client = construct(cmd);
    clients.set(cmd.client, client);
    if (cmd.noRetry) {
      client.setRetryPolicy(new NoRetry());
    }
    for (const event of ['connect', 'disconnect', 'error']) {
      client.on(event, (arg) => {
        const err = arg && (arg.transportObj || arg);
        say({ event: event + 'ed', client: cmd.client, error: err instanceof Error ? describe(err) : undefined });
      });
    }
    const options = { ca: fs.readFileSync(cmd.caFile, 'utf8') };
    if (cmd.certFile) {
      options.cert = fs.readFileSync(cmd.certFile, 'utf8');
      options.key = fs.readFileSync(cmd.keyFile, 'utf8');
    }
    if (cmd.modelId) {
      options.modelId = cmd.modelId;
    }
    await client.setOptions(options);
    await client.open();
  },
  async send(cmd) {
    await send(clients.get(cmd.client), cmd.message);
  },
  async renew(cmd) {
    await new Promise((resolve, reject) => {
      clients.get(cmd.client).updateSharedAccessSignature(cmd.token, (err) => (err ? reject(err) : resolve()));
    });
  },
  async subscribe(cmd) {
    const client = clients.get(cmd.client);
    if (cmd.filter === 'c2d') {
      client.on('message', (m) => take(cmd.client, client, m));
    } else if (cmd.filter === 'inputs') {
      client.on('inputMessage', () => {});
    } else if (cmd.filter === 'methods') {
      serveMethods(cmd.client, client);
    } else if (cmd.filter === 'twin') {
      (await twinOf(cmd.client)).on('properties.desired', (data) => say({ event: 'desired', client: cmd.client, data }));
    }
  },
  async twin(cmd) {
    const { desired, reported } = (await clients.get(cmd.client).getTwin()).properties;
    return { twin: { desired, reported } };
  },
  async patch(cmd) {
    const twin = await twinOf(cmd.client);
    await new Promise((resolve, reject) => {
      twin.properties.reported.update(cmd.patch, (err) => (err ? reject(err) : resolve()));
    });
  },
  async pump(cmd) {
    pump(cmd);
  },
  async stop(cmd) {
    const state = streams.get(cmd.client);
    state.running = false;
    return { sent: state.next, pending: state.pending.size };
  },
  async close(cmd) {
    await clients.get(cmd.client).close();
  },
};

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const cmd = JSON.parse(line);
  operations[cmd.op](cmd).then(
    (result) => say({ id: cmd.id, ...result }),
    (err) => say({ id: cmd.id, error: describe(err) }));
}).on('close', () => process.exit(0));

say({ event: 'ready' });
