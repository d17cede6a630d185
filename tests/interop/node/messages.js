// SPDX-License-Identifier: Apache-2.0
// Confirms, returns, prefetch, requeue, recover, cancel, content of every type and size, RPC.
'use strict';

const assert = require('node:assert/strict');
const {
  Consumer, bodies, channelError, exclusiveQueue, expectError, openChannel, session, texts, unique,
} = require('./support');

const REPLY_TO = 'amq.rabbitmq.reply-to';

async function filledQueue(channel, connection, count) {
  const queue = await exclusiveQueue(channel);
  const other = await connection.createConfirmChannel();
  for (let number = 0; number < count; number += 1) {
    other.sendToQueue(queue, Buffer.from(`${number}`));
  }
  await other.waitForConfirms();
  await other.close();
  return queue;
}

const ready = async (channel, queue) => (await channel.checkQueue(queue)).messageCount;

async function confirms_and_mandatory_return() {
  await session(async (_channel, connection) => {
    const channel = await openChannel(connection, 'createConfirmChannel');
    const queue = await exclusiveQueue(channel);
    const events = [];
    channel.on('return', ({ fields, properties, content }) => events.push(['return',
      fields.replyCode, fields.replyText, fields.exchange, fields.routingKey, properties.messageId,
      content.toString()]));
    const publish = (exchange, key, body, options) => new Promise((resolve, reject) => {
      channel.publish(exchange, key, Buffer.from(body), options, (error) => {
        events.push(['confirm', body]);
        if (error) reject(error); else resolve();
      });
    });
    const nowhere = unique('nowhere');
    await publish('', queue, 'routed', { mandatory: true, persistent: true });
    await publish('amq.direct', nowhere, 'back', { mandatory: true, messageId: 'm1' });
    await publish('amq.direct', nowhere, 'dropped', {});
    assert.deepEqual(events, [['confirm', 'routed'],
      ['return', 312, 'NO_ROUTE', 'amq.direct', nowhere, 'm1', 'back'], ['confirm', 'back'],
      ['confirm', 'dropped']]);
    await Promise.all(Array.from({ length: 500 },
      (_, number) => publish('', queue, `${number}`, { persistent: number % 2 === 0 })));
    await channel.waitForConfirms();
    assert.equal((await bodies(channel, queue)).length, 501);
  });
}

async function prefetch_nack_and_order() {
  await session(async (channel, connection) => {
    const queue = await filledQueue(channel, connection, 6);
    await channel.prefetch(2);
    const consumer = await Consumer.start(channel, queue);
    assert.match(consumer.tag, /^amq\.ctag-[A-Za-z0-9_-]{22}$/);
    const [first, second] = await consumer.take(2);
    assert.equal(await ready(channel, queue), 4);
    channel.nack(first, false, true);
    const [again] = await consumer.take(1);
    assert.deepEqual([again.content.toString(), again.fields.redelivered, again.fields.deliveryTag],
      ['0', true, 3]);
    channel.ack(again, true); // multiple: the second one too
    const [third, fourth] = await consumer.take(2);
    assert.deepEqual(texts([second, third, fourth]), ['1', '2', '3']);
    channel.reject(third, false);
    const [fifth] = await consumer.take(1);
    await channel.cancel(consumer.tag);
    channel.nack(fifth, true, true);
    assert.deepEqual(await bodies(channel, queue), ['3', '4', '5']);
  });
}

async function recover_ack_all_nack_all() {
  await session(async (channel, connection) => {
    const queue = await filledQueue(channel, connection, 3);
    const take = async () => [await channel.get(queue), await channel.get(queue),
      await channel.get(queue)];
    await take();
    await channel.recover();
    let messages = await take();
    assert.deepEqual(texts(messages), ['0', '1', '2']);
    assert.ok(messages.every((message) => message.fields.redelivered));
    channel.nackAll(true);
    messages = await take();
    assert.deepEqual(texts(messages), ['0', '1', '2']);
    channel.ackAll();
    assert.equal(await channel.get(queue), false);
    expectError(await channelError(connection, async (other) => {
      const message = await other.get(await filledQueue(other, connection, 1));
      other.ack(message);
      other.ack(message);
    }), 406, 'PRECONDITION_FAILED - unknown delivery tag 1', [60, 80]);
  });
}

async function closed_channel_requeues() {
  await session(async (channel, connection) => {
    const queue = await filledQueue(channel, connection, 2);
    const other = await connection.createChannel();
    await (await Consumer.start(other, queue)).take(2);
    await other.close();
    const back = [await channel.get(queue), await channel.get(queue)];
    assert.deepEqual(back.map(({ content, fields }) => [content.toString(), fields.redelivered]),
      [['0', true], ['1', true]]);
  });
}

async function consumer_cancel_notification() {
  await session(async (channel, connection) => {
    const queue = await exclusiveQueue(channel);
    const consumer = await Consumer.start(channel, queue);
    await (await connection.createChannel()).deleteQueue(queue);
    assert.deepEqual(await consumer.take(1), [null], 'amqplib reports a cancel as null');
    await channel.cancel('never.existed');
  });
}

async function exclusive_consumer_is_403() {
  await session(async (channel, connection) => {
    const queue = await exclusiveQueue(channel);
    await Consumer.start(channel, queue, { exclusive: true });
    expectError(await channelError(connection, (other) => other.consume(queue, () => {})), 403,
      `ACCESS_REFUSED - queue '${queue}' in vhost '/' in exclusive use`, [60, 20]);
  });
}

async function properties_round_trip() {
  await session(async (channel) => {
    const queue = await exclusiveQueue(channel);
    const full = {
      contentType: 'text/plain', contentEncoding: 'utf-8', headers: { a: 1 }, deliveryMode: 2,
      priority: 4, correlationId: 'c', replyTo: 'r', expiration: '60000', messageId: 'm',
      timestamp: 1700000000, type: 't', userId: 'guest', appId: 'app',
    };
    channel.sendToQueue(queue, Buffer.from([0, 255, 206]), full);
    const got = await channel.get(queue, { noAck: true });
    for (const [name, value] of Object.entries(full)) {
      assert.deepEqual(got.properties[name], value, name);
    }
    assert.equal(got.properties.clusterId, undefined);
    assert.deepEqual(got.content, Buffer.from([0, 255, 206]));
    channel.sendToQueue(queue, Buffer.alloc(0), { contentType: '', correlationId: '' });
    const bare = await channel.get(queue, { noAck: true });
    assert.deepEqual([bare.properties.contentType, bare.properties.correlationId,
      bare.properties.messageId, bare.content.length], ['', '', undefined, 0]);
  });
}

// amqplib can write each field type explicitly, which most clients cannot.
async function every_field_type_round_trips() {
  const typed = (type, value) => ({ '!': type, value });
  const headers = {
    t: true, f: false, b: typed('int8', -128), B: typed('uint8', 255), s: typed('int16', -32768),
    u: typed('uint16', 65535), I: typed('int32', -2147483648), i: typed('uint32', 4294967295),
    l: typed('int64', -4503599627370496), float: typed('float', 0.5), d: typed('double', 1e300),
    D: typed('decimal', { places: 3, digits: 12345 }), S: 'grüße, 世界', empty: '',
    T: typed('timestamp', 1700000000), V: null, x: Buffer.from([0, 1, 255]),
    A: [1, 'two', [null, true], { three: 3 }], noElements: [], F: { a: { b: { c: [1.5] } } },
    noFields: {}, '': 'empty key', long: 'v'.repeat(30000),
  };
  await session(async (channel) => {
    const queue = await exclusiveQueue(channel);
    channel.sendToQueue(queue, Buffer.from('x'), { headers });
    const got = (await channel.get(queue, { noAck: true })).properties.headers;
    assert.deepEqual(Object.keys(got).sort(), Object.keys(headers).sort());
    for (const [name, value] of Object.entries(headers)) {
      if (value && value['!'] === 'timestamp') {
        assert.deepEqual({ ...got[name] }, value, name);
      } else if (value && value['!'] === 'decimal') {
        assert.deepEqual({ ...got[name].value }, value.value, name);
      } else if (value && value['!']) {
        assert.equal(got[name], value.value, name);
      } else {
        assert.deepEqual(got[name], value, name);
      }
    }
  });
}

async function big_message_both_ways() {
  const body = Buffer.alloc(10 * 1024 * 1024);
  for (let offset = 0; offset < body.length; offset += 4) body.writeUInt32BE(offset, offset);
  await session(async (_channel, connection) => {
    const channel = await connection.createConfirmChannel();
    const queue = await exclusiveQueue(channel);
    channel.sendToQueue(queue, body);
    await channel.waitForConfirms();
    const got = await channel.get(queue, { noAck: true });
    assert.ok(body.equals(got.content), '10 MiB by basic.get');
    const consumer = await Consumer.start(channel, queue, { noAck: true });
    channel.sendToQueue(queue, body);
    const [delivered] = await consumer.take(1);
    assert.ok(body.equals(delivered.content), '10 MiB by basic.deliver');
  });
}

async function rpc_by_reply_queue_and_by_direct_reply_to() {
  await session(async (server) => {
    const requests = await exclusiveQueue(server);
    await server.consume(requests, ({ content, properties }) => server.sendToQueue(
      properties.replyTo, Buffer.from(content.toString().toUpperCase()),
      { correlationId: properties.correlationId }), { noAck: true });
    await session(async (client, connection) => {
      for (const replies of [await exclusiveQueue(client), REPLY_TO]) {
        const consumer = await Consumer.start(client, replies, { noAck: true });
        for (let number = 0; number < 5; number += 1) {
          client.sendToQueue(requests, Buffer.from(`call ${number}`),
            { replyTo: replies, correlationId: `${number}` });
        }
        const got = await consumer.take(5);
        assert.deepEqual(got.map(({ properties }) => properties.correlationId),
          ['0', '1', '2', '3', '4'], replies);
        assert.deepEqual(texts(got), ['CALL 0', 'CALL 1', 'CALL 2', 'CALL 3', 'CALL 4']);
      }
      expectError(await channelError(connection, async (other) => other.sendToQueue(requests,
        Buffer.from('x'), { replyTo: REPLY_TO })), 406,
      'PRECONDITION_FAILED - fast reply consumer does not exist', [60, 40]);
      expectError(await channelError(connection, (other) => other.consume(REPLY_TO, () => {})), 406,
        'PRECONDITION_FAILED - reply consumer cannot acknowledge', [60, 20]);
    });
  });
}

async function interleaved_channels_keep_order() {
  await session(async (_channel, connection) => {
    const body = (number) => Buffer.from(`${number}`.padEnd(300000, '.'));
    await Promise.all(Array.from({ length: 8 }, async () => {
      const channel = await connection.createChannel();
      const queue = await exclusiveQueue(channel);
      await channel.prefetch(3);
      const consumer = await Consumer.start(channel, queue);
      for (let number = 0; number < 10; number += 1) channel.sendToQueue(queue, body(number));
      for (let number = 0; number < 10; number += 1) {
        const [message] = await consumer.take(1);
        assert.ok(body(number).equals(message.content), `message ${number}`);
        channel.ack(message);
      }
    }));
  });
}

module.exports = {
  confirms_and_mandatory_return, prefetch_nack_and_order, recover_ack_all_nack_all,
  closed_channel_requeues, consumer_cancel_notification, exclusive_consumer_is_403,
  properties_round_trip, every_field_type_round_trips, big_message_both_ways,
  rpc_by_reply_queue_and_by_direct_reply_to, interleaved_channels_keep_order,
};
