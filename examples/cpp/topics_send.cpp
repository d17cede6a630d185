// SPDX-License-Identifier: Apache-2.0
//
// Topics: measurements with a key of words, PLACE.ROOM.QUANTITY.
//
//   topics_send [KEY MESSAGE]
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "examples/cpp/example.hpp"

using namespace example;

int main(int argc, char** argv) try {
  std::vector<std::pair<std::string, std::string>> measurements{
      {"home.kitchen.humidity", "40 %"},
      {"office.lobby.temperature", "19 C"},
      {"office.lobby.humidity", "55 %"},
      {"home.kitchen.temperature", "21 C"}};
  if (argc > 2) measurements = {{argv[1], argv[2]}};

  const Connection connection;

  // A topic exchange matches the words of the routing key with patterns.
  amqp_exchange_declare(connection, kChannel, bytes("measurements"), bytes("topic"), 0, 0, 0, 0,
                        amqp_empty_table);
  connection.check("declare the exchange");

  for (const auto& [key, value] : measurements) {
    check_status(amqp_basic_publish(connection, kChannel, bytes("measurements"), bytes(key), 0, 0,
                                    nullptr, bytes(value)),
                 "publish");
    std::cout << "Sent " << key << ": " << value << std::endl;
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
