// A device with Microsoft's SDK for Node: telemetry, twin, direct methods and
// cloud-to-device messages.
//
//   npm install
//   export IOTHUB_DEVICE_CONNECTION_STRING='HostName=…;DeviceId=…;SharedAccessKey=…'
//   export NODE_EXTRA_CA_CERTS=ca.pem
//   node device.js [count]
'use strict';

const { Client, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt'); // or MqttWs, over port 443

let interval = 5; // seconds between messages; the twin may say otherwise
let wake = () => {}; // ends the pause before the next message
let stopped = false;

// sendTelemetry sends count messages, or until the device is stopped.
async function sendTelemetry(client, count) {
  for (let n = 0; !stopped; n++) {
    const message = new Message(JSON.stringify({ n, temperature: 20 + Math.random() }));
    message.contentType = 'application/json';
    message.contentEncoding = 'utf-8';
    message.properties.add('level', 'info');
    await client.sendEvent(message); // resolves when JetStream has stored it
    console.log('stored:', message.getData());
    if (n + 1 === count) return;
    await pause();
  }
}

async function pause() {
  if (stopped) return;
  let timer;
  await new Promise((resolve) => {
    wake = resolve;
    timer = setTimeout(resolve, interval * 1000);
  });
  clearTimeout(timer);
}

function report(twin, properties) {
  return new Promise((resolve, reject) => {
    twin.properties.reported.update(properties, (err) => (err ? reject(err) : resolve()));
  }).then(() => console.log('reported:', JSON.stringify(properties)));
}

// applyDesired does what the twin says, and reports what the device has become.
async function applyDesired(twin) {
  const wanted = twin.properties.desired.telemetryInterval;
  if (typeof wanted === 'number' && wanted >= 1 && wanted <= 86400) {
    interval = wanted;
    wake();
  } else if (wanted !== undefined) {
    console.error('telemetryInterval is a number of seconds from 1 to 86400, not', JSON.stringify(wanted));
  }
  await report(twin, { telemetryInterval: interval });
}

// followTwin applies the desired properties as they are now, and every change.
async function followTwin(client) {
  const twin = await client.getTwin();
  twin.on('error', (err) => console.error('twin:', err.message));
  await report(twin, { firmware: '1.0.0' });
  // The SDK calls the handler for each change, when it has merged it into the
  // twin, and for the whole of a twin that was asked for.
  twin.on('properties.desired', (patch) => {
    console.log('desired:', JSON.stringify(patch));
    applyDesired(twin).catch((err) => console.error('not reported:', err.message));
  });
  // With the handler the device has subscribed. Nobody tells it of a change that
  // came before: it asks again, now and after each reconnect.
  await twin.get();
  client.on('connect', () => {
    console.log('connected again');
    twin.get().catch((err) => console.error('the twin is not known:', err.message));
  });
  return twin;
}

// serveMethods registers the methods. The SDK gives no answer to others, so that
// their caller gets 504101.
function serveMethods(client, twin) {
  client.onDeviceMethod('reboot', (request, response) => {
    const delay = (request.payload && request.payload.delay) || 0;
    const good = typeof delay === 'number' && delay >= 0 && delay <= 3600;
    const status = good ? 200 : 400;
    const body = good ? { rebootingIn: delay } : { error: 'the payload is {"delay":n}, with n from 0 to 3600 seconds' };
    // The answer comes before the deed: a device that restarts answers nobody.
    response.send(status, body, (err) => {
      if (err) {
        console.error('reboot is not answered:', err.message);
        return;
      }
      console.log('method: reboot', JSON.stringify(request.payload), status);
      if (good) setTimeout(() => reboot(twin), delay * 1000).unref();
    });
  });
}

function reboot(twin) {
  console.log('rebooting'); // your device does it here
  report(twin, { lastReboot: new Date().toISOString() }).catch((err) => console.error('not reported:', err.message));
}

// takeMessages handles cloud-to-device messages, whenever they come.
function takeMessages(client) {
  client.on('message', (message) => {
    const properties = message.properties.propertyList.map(({ key, value }) => `${key}=${value}`);
    console.log('message:', message.getData().toString(), ...properties);
    // Completes it, else it comes again. By MQTT the SDK has done so already
    // and this does nothing; by AMQP it is needed.
    client.complete(message, (err) => {
      if (err) console.error('not completed:', err.message);
    });
  });
}

async function main() {
  const count = Number(process.argv[2] || 0); // 0: until Ctrl-C
  const client = Client.fromConnectionString(process.env.IOTHUB_DEVICE_CONNECTION_STRING, Mqtt);
  // The SDK reconnects without a word. It says so when it has given up, after four
  // minutes; then a message can't be sent, and the sample ends.
  client.on('disconnect', () => console.error('the connection is lost, and the SDK has given up'));
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => {
      stopped = true;
      wake();
    });
  }
  await client.open();
  console.log('connected');
  const twin = await followTwin(client);
  serveMethods(client, twin);
  takeMessages(client);
  await sendTelemetry(client, count);
  client.removeAllListeners('disconnect'); // this one is on purpose
  await client.close();
}

main().catch((err) => {
  console.error('device.js:', err.message);
  process.exit(1);
});
