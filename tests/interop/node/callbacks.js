// SPDX-License-Identifier: Apache-2.0
// amqplib's callback interface: the same wire from other code paths, and transactions, for which
// amqplib has methods in its definitions but no calls of its own.
'use strict';

const assert = require('node:assert/strict');
const { address, callbackApi, exclusiveQueue, session } = require('./support');

const defs = { select: 0x5a000a, selectOk: 0x5a000b, commit: 0x5a0014, commitOk: 0x5a0015,
  rollback: 0x5a001e, rollbackOk: 0x5a001f };

async function callback_publish_get_and_error() {
  const steps = await new Promise((resolve, reject) => {
    const seen = [];
    callbackApi().connect(address, (connectError, connection) => {
      if (connectError) { reject(connectError); return; }
      connection.on('error', reject);
      connection.createConfirmChannel((openError, channel) => {
        if (openError) { reject(openError); return; }
        channel.on('error', (error) => seen.push(['error', error.code, error.classId,
          error.methodId]));
        channel.on('close', () => {
          seen.push(['close']);
          connection.close(() => resolve(seen));
        });
        channel.assertQueue('', { exclusive: true }, (declareError, { queue }) => {
          channel.sendToQueue(queue, Buffer.from('x'), {}, (nacked) => {
            seen.push(['confirmed', nacked]);
            channel.get(queue, { noAck: true }, (getError, message) => {
              seen.push(['got', message.content.toString(), message.fields.messageCount]);
              channel.checkQueue(`${queue}.missing`, () => {}); // ends in 'error' and 'close'
            });
          });
        });
      });
    });
  });
  assert.deepEqual(steps, [['confirmed', null], ['got', 'x', 0], ['error', 404, 50, 10],
    ['close']]);
}

async function transactions() {
  await session(async (channel, connection) => {
    const watcher = await connection.createChannel();
    const ready = async () => (await watcher.checkQueue(queue)).messageCount;
    const queue = await exclusiveQueue(channel);
    await channel.rpc(defs.select, {}, defs.selectOk);
    channel.sendToQueue(queue, Buffer.from('lost'));
    await channel.rpc(defs.rollback, {}, defs.rollbackOk);
    channel.sendToQueue(queue, Buffer.from('kept'));
    assert.equal(await channel.get(queue), false, 'nothing before the commit');
    await channel.rpc(defs.commit, {}, defs.commitOk);
    assert.equal(await ready(), 1, 'after the commit');
    const message = await channel.get(queue);
    channel.ack(message);
    await channel.rpc(defs.rollback, {}, defs.rollbackOk);
    channel.ack(message); // outstanding again, with the same tag
    await channel.rpc(defs.commit, {}, defs.commitOk);
    await channel.close();
    assert.equal(await ready(), 0, 'acknowledged for good');
  });
}

module.exports = { callback_publish_get_and_error, transactions };
