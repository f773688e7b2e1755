'use strict';
// Remote control of the Azure IoT service SDK for Node. It reads one JSON command
// a line from standard input and writes one JSON line per answer. The Go tests
// hold the scenarios; the protocol is described in ../doc.go. What the SDK gives
// its application is answered as it is.

const readline = require('readline');
const { Registry, Client, JobClient, DigitalTwinClient, IoTHubTokenCredentials } = require('azure-iothub');
const { NoRetry } = require('azure-iot-common');

const hubs = new Map();

function say(line) {
  process.stdout.write(JSON.stringify(line) + '\n');
}

function describe(err) {
  const chain = [];
  for (let e = err; e && chain.length < 8; e = e.innerError) {
    chain.push(e.name || e.constructor.name);
  }
  const response = err.response || {};
  const code = response.statusCode || response.status || err.statusCode;
  return { class: chain[0], chain, message: String(err.message), status: code ? String(code) : '', body: String(err.responseBody || '') };
}

// once calls a function of the SDK that takes a callback as its last argument. Its
// promises hold the answer of HTTP besides, which is no JSON.
function once(object, name, ...args) {
  return new Promise((resolve, reject) => {
    object[name](...args, (err, result) => (err ? reject(err) : resolve(result)));
  });
}

// plain is a result without the members that are the SDK's own.
function plain(value) {
  return JSON.parse(JSON.stringify(value === undefined ? null : value, (key, v) => (key === '_response' ? undefined : v)));
}

async function pages(query, asTwins, cmd) {
  const all = [];
  let token = cmd.continuation;
  do {
    const rows = await new Promise((resolve, reject) => {
      const done = (err, result) => (err ? reject(err) : resolve(result));
      const next = asTwins ? query.nextAsTwin : query.next;
      if (token) {
        next.call(query, token, done);
      } else {
        next.call(query, done);
      }
    });
    all.push(plain(rows));
    token = undefined;
  } while (query.hasMoreResults && !(all.length >= cmd.most));
  return { pages: all, continuation: query.continuationToken || '' };
}

const operations = {
  async open(cmd) {
    const client = Client.fromConnectionString(cmd.connectionString);
    client.setRetryPolicy(new NoRetry());
    hubs.set(cmd.client, {
      registry: Registry.fromConnectionString(cmd.connectionString),
      jobs: JobClient.fromConnectionString(cmd.connectionString),
      digital: new DigitalTwinClient(new IoTHubTokenCredentials(cmd.connectionString)),
      client,
    });
  },

  async create(cmd, { registry }) {
    return once(registry, cmd.identity.moduleId ? 'addModule' : 'create', cmd.identity);
  },
  async get(cmd, { registry }) {
    return cmd.moduleId ? once(registry, 'getModule', cmd.deviceId, cmd.moduleId) : once(registry, 'get', cmd.deviceId);
  },
  async update(cmd, { registry }) {
    if (cmd.identity.moduleId) {
      return once(registry, 'updateModule', cmd.identity, !cmd.conditional);
    }
    return once(registry, 'update', cmd.identity); // which has no condition
  },
  async remove(cmd, { registry }) {
    if (!cmd.moduleId) {
      await once(registry, 'delete', cmd.deviceId);
    } else if (cmd.etag) {
      await once(registry, 'removeModule', { deviceId: cmd.deviceId, moduleId: cmd.moduleId, etag: cmd.etag });
    } else {
      await once(registry, 'removeModule', cmd.deviceId, cmd.moduleId);
    }
  },
  async list(cmd, { registry }) {
    return cmd.deviceId ? once(registry, 'getModulesOnDevice', cmd.deviceId) : once(registry, 'list');
  },
  async bulk(cmd, { registry }) {
    switch (cmd.mode) {
      case 'create':
        return once(registry, 'addDevices', cmd.identities);
      case 'update':
        return once(registry, 'updateDevices', cmd.identities, !cmd.conditional);
      default:
        return once(registry, 'removeDevices', cmd.identities, !cmd.conditional);
    }
  },
  async statistics(cmd, { registry }) {
    return once(registry, 'getRegistryStatistics');
  },

  async twin(cmd, { registry }) {
    return cmd.moduleId ? once(registry, 'getModuleTwin', cmd.deviceId, cmd.moduleId) : once(registry, 'getTwin', cmd.deviceId);
  },
  async patchTwin(cmd, { registry }) {
    const etag = cmd.etag || '*';
    return cmd.moduleId
      ? once(registry, 'updateModuleTwin', cmd.deviceId, cmd.moduleId, cmd.patch, etag)
      : once(registry, 'updateTwin', cmd.deviceId, cmd.patch, etag);
  },
  // twinObject goes through Twin, which keeps the etag of what it has seen.
  async twinObject(cmd, { registry }) {
    const twin = await once(registry, 'getTwin', cmd.deviceId);
    await once(twin, 'update', cmd.patch);
    await once(twin, 'update', cmd.then);
    return once(twin, 'get');
  },
  async query(cmd, { registry }) {
    return pages(registry.createQuery(cmd.query, cmd.pageSize), cmd.kind === 'Twin', cmd);
  },
  async method(cmd, { client }) {
    const params = {
      methodName: cmd.method, payload: cmd.payload,
      responseTimeoutInSeconds: cmd.responseTimeout, connectTimeoutInSeconds: cmd.connectTimeout,
    };
    return cmd.moduleId
      ? once(client, 'invokeDeviceMethod', cmd.deviceId, cmd.moduleId, params)
      : once(client, 'invokeDeviceMethod', cmd.deviceId, params);
  },

  async schedule(cmd, { jobs }) {
    const start = cmd.start ? new Date(cmd.start) : undefined;
    if (cmd.patch) {
      return once(jobs, 'scheduleTwinUpdate', cmd.jobId, cmd.condition, cmd.patch, start, 300);
    }
    const method = { methodName: cmd.method, payload: cmd.payload, responseTimeoutInSeconds: cmd.responseTimeout };
    return once(jobs, 'scheduleDeviceMethod', cmd.jobId, cmd.condition, method, start, 300);
  },
  async job(cmd, { jobs }) {
    return once(jobs, 'getJob', cmd.jobId);
  },
  async cancelJob(cmd, { jobs }) {
    return once(jobs, 'cancelJob', cmd.jobId);
  },
  async jobs(cmd, { jobs }) {
    return pages(jobs.createQuery(cmd.jobType, cmd.jobStatus, cmd.pageSize), false, cmd);
  },

  async createConfiguration(cmd, { registry }) {
    return once(registry, 'addConfiguration', cmd.configuration);
  },
  async configuration(cmd, { registry }) {
    return once(registry, 'getConfiguration', cmd.configurationId);
  },
  async updateConfiguration(cmd, { registry }) {
    return once(registry, 'updateConfiguration', cmd.configuration, !cmd.conditional);
  },
  async removeConfiguration(cmd, { registry }) {
    await once(registry, 'removeConfiguration', cmd.configurationId);
  },
  async configurations(cmd, { registry }) {
    return once(registry, 'getConfigurations');
  },
  async applyConfiguration(cmd, { registry }) {
    await once(registry, 'applyConfigurationContentOnDevice', cmd.deviceId, cmd.content);
  },

  async digitalTwin(cmd, { digital }) {
    return digital.getDigitalTwin(cmd.deviceId);
  },
  async patchDigitalTwin(cmd, { digital }) {
    await digital.updateDigitalTwin(cmd.deviceId, cmd.patch);
  },
  async command(cmd, { digital }) {
    const options = { responseTimeoutInSeconds: cmd.responseTimeout, connectTimeoutInSeconds: 0 };
    const result = cmd.component
      ? await digital.invokeComponentCommand(cmd.deviceId, cmd.component, cmd.method, cmd.payload, options)
      : await digital.invokeCommand(cmd.deviceId, cmd.method, cmd.payload, options);
    return { status: result.xMsCommandStatuscode, payload: result.body };
  },

  async exportDevices(cmd, { registry }) {
    return once(registry, 'exportDevicesToBlob', cmd.container, true);
  },
};

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const cmd = JSON.parse(line);
  operations[cmd.op](cmd, hubs.get(cmd.client)).then(
    (result) => say({ id: cmd.id, result: plain(result) }),
    (err) => say({ id: cmd.id, error: describe(err) }));
}).on('close', () => process.exit(0));

say({ event: 'ready' });
