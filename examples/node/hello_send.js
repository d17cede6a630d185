#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// Hello: sends one message to a queue.
import amqp from "amqplib";

const url = process.env.AMQP_URL ?? "amqp://guest:guest@127.0.0.1:5672/";
const connection = await amqp.connect(url);
const channel = await connection.createChannel();

// Declaring is safe to repeat: the queue is made once, by whoever comes first.
await channel.assertQueue("hello", { durable: false });

channel.sendToQueue("hello", Buffer.from("Hello World!"));
console.log("Sent 'Hello World!'");

await channel.close();
await connection.close();
