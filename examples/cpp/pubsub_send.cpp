// SPDX-License-Identifier: Apache-2.0
//
// Publish/subscribe: every subscriber gets a copy of every message.
//
//   pubsub_send [MESSAGE...]
#include <iostream>
#include <string>
#include <vector>

#include "examples/cpp/example.hpp"

using namespace example;

int main(int argc, char** argv) try {
  std::vector<std::string> messages(argv + 1, argv + argc);
  if (messages.empty()) messages = {"Rain expected", "Road closed", "All clear"};

  const Connection connection;

  // A fanout exchange copies to all queues bound to it; without any, messages go nowhere.
  amqp_exchange_declare(connection, kChannel, bytes("news"), bytes("fanout"), 0, 0, 0, 0,
                        amqp_empty_table);
  connection.check("declare the exchange");

  for (const std::string& message : messages) {
    check_status(amqp_basic_publish(connection, kChannel, bytes("news"), bytes(""), 0, 0, nullptr,
                                    bytes(message)),
                 "publish");
    std::cout << "Sent '" << message << "'" << std::endl;
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
