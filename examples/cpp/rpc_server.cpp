// SPDX-License-Identifier: Apache-2.0
//
// RPC: answers requests for Fibonacci numbers.
#include <iostream>
#include <string>

#include "examples/cpp/example.hpp"

using namespace example;

unsigned long long fibonacci(int n) {
  unsigned long long previous = 1, current = 0;
  for (int i = 0; i < n; ++i) {
    const auto next = previous + current;
    previous = current;
    current = next;
  }
  return current;
}

int main() try {
  const Connection connection;
  amqp_queue_declare(connection, kChannel, bytes("fibonacci"), 0, 0, 0, 0, amqp_empty_table);
  connection.check("declare the queue");
  amqp_basic_qos(connection, kChannel, 0, 1, 0);
  connection.check("set the prefetch");
  amqp_basic_consume(connection, kChannel, bytes("fibonacci"), bytes(""), 0, 0, 0,
                     amqp_empty_table);
  connection.check("consume");

  std::cout << "Waiting for requests. To exit press CTRL+C" << std::endl;
  while (true) {
    const Delivery request(connection);
    const int n = std::stoi(request.body());
    std::cout << "Asked for fibonacci(" << n << ")" << std::endl;

    // The answer goes where the request says, marked so that the client knows what it answers.
    amqp_basic_properties_t properties{};
    properties._flags = AMQP_BASIC_CORRELATION_ID_FLAG;
    properties.correlation_id = request.properties().correlation_id;
    check_status(amqp_basic_publish(connection, kChannel, bytes(""), request.properties().reply_to,
                                    0, 0, &properties, bytes(std::to_string(fibonacci(n)))),
                 "publish the answer");
    check_status(amqp_basic_ack(connection, kChannel, request.tag(), 0), "ack");
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
