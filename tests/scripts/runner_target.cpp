// SPDX-License-Identifier: Apache-2.0
#include "tests/scripts/runner_target.hpp"

#include "protocol/field_table.hpp"

namespace harrier::scripts {
namespace {

using namespace protocol;

// What a complete client announces; scripts that need another one say client_properties={...}.
Table default_client_properties() {
  Table capabilities;
  for (const char* name :
       {"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
        "connection.blocked", "authentication_failure_close"}) {
    capabilities.add_bool(name, true);
  }
  Table properties;
  properties.add("product", "amqp_script").add_table("capabilities", capabilities);
  return properties;
}

std::string login_response(const Login& login) {
  if (login.mechanism == "AMQPLAIN") {
    const Table table = Table().add("LOGIN", login.user).add("PASSWORD", login.password);
    return std::string(as_text(table.view().bytes()));
  }
  if (login.mechanism == "PLAIN")
    return std::string(1, '\0') + login.user + std::string(1, '\0') + login.password;
  return login.user;
}

}  // namespace

Login default_login(const Target& target) {
  Login login;
  login.user = target.user;
  login.password = target.password;
  const Table properties = default_client_properties();
  const ByteView bytes = properties.view().bytes();
  login.client_properties.assign(bytes.begin(), bytes.end());
  return login;
}

Received await_reply(Connection& connection, std::uint16_t channel, std::string_view reply,
                     Deadline deadline) {
  const auto wanted = [&](const Received& received) {
    if (received.heartbeat) return false;
    if (received.name() == "connection.close") return true;
    return received.channel == channel &&
           (received.name() == reply || received.name() == "channel.close");
  };
  Received received = connection.take(wanted, deadline, std::string(reply));
  if (received.name() != reply)
    throw StepError("expected " + std::string(reply) + "\nreceived " + received.text());
  return received;
}

void log_in(Connection& connection, const Login& login, Deadline deadline) {
  connection.send_bytes(ByteVector(kProtocolHeader.begin(), kProtocolHeader.end()), deadline);
  await_reply(connection, 0, ConnectionStart::kName, deadline);

  ConnectionStartOk start_ok;
  const std::string response = login_response(login);
  start_ok.client_properties = TableView(login.client_properties);
  start_ok.mechanism = login.mechanism;
  start_ok.response = response;
  const Received tune = call<ConnectionTune>(connection, 0, start_ok, deadline);

  const auto& proposed = std::get<ConnectionTune>(tune.method);
  ConnectionTuneOk tune_ok;
  tune_ok.frame_max = static_cast<std::uint32_t>(login.frame_max.value_or(proposed.frame_max));
  tune_ok.channel_max =
      static_cast<std::uint16_t>(login.channel_max.value_or(proposed.channel_max));
  tune_ok.heartbeat = static_cast<std::uint16_t>(login.heartbeat);
  connection.send_method(0, encoded(tune_ok), deadline);
  connection.set_frame_max(tune_ok.frame_max);

  ConnectionOpen open;
  open.virtual_host = login.vhost;
  call<ConnectionOpenOk>(connection, 0, open, deadline);
}

void open_channel(Connection& connection, std::uint16_t channel, Deadline deadline) {
  call<ChannelOpenOk>(connection, channel, ChannelOpen{}, deadline);
}

std::string probe_product(const Target& target) {
  Connection connection("probe", target.host, target.port, target.deadline(),
                        [](const std::string&) {});
  connection.send_bytes(ByteVector(kProtocolHeader.begin(), kProtocolHeader.end()),
                        target.deadline());
  const Received start = await_reply(connection, 0, ConnectionStart::kName, target.deadline());
  const auto product = std::get<ConnectionStart>(start.method).server_properties.find("product");
  return product && product->as_text() == "RabbitMQ" ? "rabbitmq" : "harrier";
}

}  // namespace harrier::scripts
