// A device with Microsoft's SDK for Node.
//
//   npm install
//   export IOTHUB_DEVICE_CONNECTION_STRING='HostName=…;DeviceId=…;SharedAccessKey=…'
//   export NODE_EXTRA_CA_CERTS=ca.pem
//   node device.js [count]
'use strict';

const { Client, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt'); // or MqttWs, over port 443

async function main() {
  const count = Number(process.argv[2] || 10);
  const client = Client.fromConnectionString(process.env.IOTHUB_DEVICE_CONNECTION_STRING, Mqtt);
  await client.open();
  for (let n = 0; n < count; n++) {
    const message = new Message(JSON.stringify({ n, temperature: 20 + Math.random() }));
    message.contentType = 'application/json';
    message.contentEncoding = 'utf-8';
    message.properties.add('level', 'info');
    await client.sendEvent(message); // resolves when JetStream has stored it
    console.log('stored:', message.getData());
    if (n + 1 < count) await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  await client.close();
}

main().catch((err) => {
  console.error('device.js:', err.message);
  process.exit(1);
});
