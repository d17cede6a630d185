#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// Hello: prints the messages of a queue as they come.
import amqp from "amqplib";

const url = process.env.AMQP_URL ?? "amqp://guest:guest@127.0.0.1:5672/";
const connection = await amqp.connect(url);
const channel = await connection.createChannel();
await channel.assertQueue("hello", { durable: false });

const onMessage = (message) => {
  // null: the broker cancelled us, because somebody deleted the queue.
  if (message === null) return connection.close();
  console.log(`Received '${message.content.toString()}'`);
};

await channel.consume("hello", onMessage, { noAck: true });
console.log("Waiting for messages. To exit press CTRL+C");
process.once("SIGINT", () => connection.close());
