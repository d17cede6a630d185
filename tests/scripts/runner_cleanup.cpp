// SPDX-License-Identifier: Apache-2.0
#include "tests/scripts/runner_cleanup.hpp"

namespace harrier::scripts {
namespace {

using namespace protocol;

constexpr std::uint16_t kChannel = 1;

// True if the deletion was answered; after a refusal the channel is open again.
template <class Reply, class Request>
bool delete_one(Connection& connection, const Request& request, const Target& target) {
  connection.send_method(kChannel, encoded(request), target.deadline());
  const auto answer = [](const Received& received) {
    return received.name() == Reply::kName || received.name() == ChannelClose::kName;
  };
  if (connection.take(answer, target.deadline(), std::string(Reply::kName)).name() == Reply::kName)
    return true;
  connection.send_method(kChannel, encoded(ChannelCloseOk{}), target.deadline());
  open_channel(connection, kChannel, target.deadline());
  return false;
}

// CR and LF are removed from names by the broker (C-158, C-210).
std::string stored_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c != '\r' && c != '\n') out += c;
  }
  return out;
}

}  // namespace

void Cleanup::note_sent(const Method& method) {
  if (const auto* queue = std::get_if<QueueDeclare>(&method); queue != nullptr && !queue->passive) {
    if (!queue->queue.empty()) queues_.insert(stored_name(queue->queue));
  }
  if (const auto* exchange = std::get_if<ExchangeDeclare>(&method);
      exchange != nullptr && !exchange->passive) {
    if (!exchange->exchange.empty() && !exchange->exchange.starts_with("amq.")) {
      exchanges_.insert(stored_name(exchange->exchange));
    }
  }
}

void Cleanup::note_received(const Method& method) {
  const auto* declared = std::get_if<QueueDeclareOk>(&method);
  if (declared != nullptr && declared->queue.starts_with("amq.gen-"))
    queues_.emplace(declared->queue);
}

std::string Cleanup::run(const Target& target) const {
  if (queues_.empty() && exchanges_.empty()) return {};
  try {
    Connection connection("cleanup", target.host, target.port, target.deadline(),
                          [](const std::string&) {});
    log_in(connection, default_login(target), target.deadline());
    open_channel(connection, kChannel, target.deadline());
    for (const std::string& name : queues_) {
      QueueDelete request;
      request.queue = name;
      // Refused only while the connection that owns an exclusive queue is still being torn down.
      delete_one<QueueDeleteOk>(connection, request, target);
    }
    for (const std::string& name : exchanges_) {
      ExchangeDelete request;
      request.exchange = name;
      delete_one<ExchangeDeleteOk>(connection, request, target);
    }
    ConnectionClose close;
    close.reply_code = 200;
    call<ConnectionCloseOk>(connection, 0, close, target.deadline());
  } catch (const StepError& error) {
    return error.what();
  }
  return {};
}

}  // namespace harrier::scripts
