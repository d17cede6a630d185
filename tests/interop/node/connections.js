// SPDX-License-Identifier: Apache-2.0
// Connecting, refusals, heartbeats, errors of connections and channels.
'use strict';

const assert = require('node:assert/strict');
const { setTimeout: delay } = require('node:timers/promises');
const {
  bodies, channelError, connect, connectionError, exclusiveQueue, expectError, isHarrier,
  nextEvent, openChannel, session, unique,
} = require('./support');

async function wrong_password() {
  await assert.rejects(connect({ password: 'wrong' }), (error) => {
    assert.match(error.message, /403 \(ACCESS-REFUSED\)/);
    assert.match(error.message, /Login was refused using authentication mechanism PLAIN/);
    return true;
  });
}

async function wrong_vhost() {
  const vhost = unique('vhost');
  await assert.rejects(connect({ vhost }), (error) => {
    // amqplib tells no more of a close at this point than that it was one.
    assert.match(error.message, /Expected ConnectionOpenOk; got <ConnectionClose channel:0>/);
    return true;
  });
}

async function server_properties() {
  await session(async (_channel, connection) => {
    const { serverProperties } = connection.connection;
    assert.equal(serverProperties.product, isHarrier ? 'Harrier' : 'RabbitMQ');
    assert.ok(Object.values(serverProperties.capabilities).every((value) => value === true));
  });
}

async function heartbeat_keeps_idle_connection() {
  await session(async (channel) => {
    await delay(3500);
    await exclusiveQueue(channel); // amqplib itself gives up after two intervals without a byte
  }, { heartbeat: 1 });
}

async function silent_client_is_dropped() {
  const connection = await connect({ heartbeat: 1 });
  connection.connection.sendHeartbeat = () => {};
  const error = await nextEvent(connection, 'close');
  assert.match(String(error && error.message), /Unexpected close|ECONNRESET|EPIPE/);
}

async function connection_errors() {
  expectError(await connectionError((channel) => channel.recover.call({
    rpc: (method, fields, reply) => channel.rpc(method, { ...fields, requeue: false }, reply),
  })), 540, 'NOT_IMPLEMENTED - requeue=false');
  expectError(await connectionError(async (channel) => {
    const queue = await exclusiveQueue(channel);
    await channel.consume(queue, () => {}, { consumerTag: 'twice' });
    await channel.consume(queue, () => {}, { consumerTag: 'twice' });
  }), 530, "NOT_ALLOWED - attempt to reuse consumer tag 'twice'");
}

async function channel_errors() {
  await session(async (channel, connection) => {
    const missing = unique('missing');
    const fixed = unique('fixed');
    await channel.assertQueue(fixed, { durable: true, autoDelete: true });
    const noQueue = `NOT_FOUND - no queue '${missing}' in vhost '/'`;
    const noExchange = `NOT_FOUND - no exchange '${missing}' in vhost '/'`;
    const cases = [
      [404, noQueue, [50, 10], (other) => other.checkQueue(missing)],
      [404, noExchange, [40, 10], (other) => other.checkExchange(missing)],
      [404, noQueue, [60, 20], (other) => other.consume(missing, () => {})],
      [404, noQueue, [60, 70], (other) => other.get(missing)],
      [404, noQueue, [50, 30], (other) => other.purgeQueue(missing)],
      [404, noExchange, [60, 40], async (other) => other.publish(missing, '', Buffer.from('x'))],
      [406, `PRECONDITION_FAILED - inequivalent arg 'durable' for queue '${fixed}' in vhost '/': `
        + "received 'false' but current is 'true'", [50, 10],
      (other) => other.assertQueue(fixed, { durable: false, autoDelete: true })],
      [406, "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.fanout'", [40, 10],
        (other) => other.assertExchange('amq.fanout', 'direct')],
      [406, 'PRECONDITION_FAILED - unknown delivery tag 82', [60, 80],
        async (other) => other.ack({ fields: { deliveryTag: 82 } })],
      [406, 'PRECONDITION_FAILED - unknown delivery tag 82', [60, 120],
        async (other) => other.nack({ fields: { deliveryTag: 82 } })],
      [403, "ACCESS_REFUSED - exchange name 'amq.x' contains reserved prefix 'amq.*'", [40, 10],
        (other) => other.assertExchange('amq.x', 'direct')],
    ];
    for (const [code, text, ids, action] of cases) {
      expectError(await channelError(connection, action), code, text, ids);
    }
    await channel.deleteQueue(fixed);
  });
}

async function exclusive_queue_is_405_elsewhere() {
  await session(async (mine) => {
    const queue = await exclusiveQueue(mine);
    await session(async (_channel, connection) => {
      const text = `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${queue}'`;
      expectError(await channelError(connection, (other) => other.checkQueue(queue)), 405, text,
        [50, 10]);
      expectError(await channelError(connection, (other) => other.consume(queue, () => {})), 405,
        text, [60, 20]);
      expectError(await channelError(connection, (other) => other.deleteQueue(queue)), 405, text,
        [50, 40]);
    });
  });
}

async function many_channels() {
  await session(async (first, connection) => {
    const queue = await exclusiveQueue(first);
    const channels = await Promise.all(
      Array.from({ length: 100 }, () => openChannel(connection, 'createConfirmChannel')));
    channels.forEach((channel, number) => channel.sendToQueue(queue, Buffer.from(`${number}`)));
    await Promise.all(channels.map((channel) => channel.waitForConfirms()));
    const found = (await bodies(first, queue)).map(Number).sort((a, b) => a - b);
    assert.deepEqual(found, Array.from({ length: 100 }, (_, number) => number));
    await Promise.all(channels.map((channel) => channel.close()));
  });
}

async function pipelined_open_and_close() {
  await session(async (_channel, connection) => {
    for (let round = 0; round < 20; round += 1) {
      const channel = await openChannel(connection);
      const results = await Promise.all([exclusiveQueue(channel), exclusiveQueue(channel),
        channel.checkExchange('amq.direct')]);
      assert.notEqual(results[0], results[1]);
      channel.sendToQueue(results[0], Buffer.from('x')); // goes out in one piece with the close
      await channel.close();
    }
  });
}

async function update_secret() {
  await session(async (channel, connection) => {
    await connection.updateSecret(Buffer.from('guest'), 'rotation');
    await exclusiveQueue(channel);
  });
}

module.exports = {
  wrong_password, wrong_vhost, server_properties, heartbeat_keeps_idle_connection,
  silent_client_is_dropped, connection_errors, channel_errors, exclusive_queue_is_405_elsewhere,
  many_channels, pipelined_open_and_close, update_secret,
};
