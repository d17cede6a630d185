// SPDX-License-Identifier: Apache-2.0
//
// Hello: sends one message to a queue.
#include <iostream>

#include "examples/cpp/example.hpp"

using namespace example;

int main() try {
  const Connection connection;

  // Declaring is safe to repeat: the queue is made once, by whoever comes first.
  amqp_queue_declare(connection, kChannel, bytes("hello"), 0, 0, 0, 0, amqp_empty_table);
  connection.check("declare the queue");

  // The default exchange "" delivers to the queue that is named by the routing key.
  check_status(amqp_basic_publish(connection, kChannel, bytes(""), bytes("hello"), 0, 0, nullptr,
                                  bytes("Hello World!")),
               "publish");
  std::cout << "Sent 'Hello World!'" << std::endl;
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
