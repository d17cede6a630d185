// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "protocol/codec.hpp"
#include "tests/scripts/runner_script.hpp"

namespace harrier::scripts {
namespace {

// A number that no script uses, for a round trip on a connection without an open channel.
constexpr std::uint16_t kSpareChannel = 2000;

std::string describe(const Step& step) {
  return step.connection + (step.channel ? "." + std::to_string(*step.channel) : "") + " < " +
         step.verb;
}

std::string unread(const Connection& connection, const std::deque<Received>& inbox,
                   const Step& step) {
  std::string out;
  for (const Received& received : inbox) {
    if (received.heartbeat || (step.channel && received.channel != *step.channel)) continue;
    out += "\nreceived " + connection.name() + "." + std::to_string(received.channel) + " " +
           received.text();
  }
  return out;
}

}  // namespace

void ScriptRun::expect(const Step& step) {
  std::vector<Argument> arguments = step.arguments;
  Deadline until = deadline();
  const auto within =
      std::find_if(arguments.begin(), arguments.end(),
                   [](const Argument& argument) { return argument.name == "within"; });
  if (within != arguments.end()) {
    const std::chrono::seconds asked(number_of(within->value, variables_));
    until = SteadyClock::now() + std::max<std::chrono::milliseconds>(asked, target_.timeout);
    arguments.erase(within);
  }
  if (step.verb == "eof") return expect_end(step, until);
  if (step.verb == "raw") return expect_raw(step, arguments, until);
  if (step.verb == "nothing") return expect_nothing(step, arguments);
  if (step.verb == "confirms") return expect_confirms(step, arguments, until);
  if (step.verb == "heartbeat") {
    connection(step).take([](const Received& received) { return received.heartbeat; }, until,
                          "heartbeat");
    return;
  }
  if (step.verb == "refused") {
    // channel.close, and the channel is open again afterwards
    const std::uint16_t channel = expect_close(step, "channel.close", arguments, until).channel;
    connection(step).send_method(channel, encoded(protocol::ChannelCloseOk{}), deadline());
    return open_channel(connection(step), channel, deadline());
  }
  if (step.verb == "fatal") {
    // connection.close, and the peer ends the connection once it has been answered
    expect_close(step, "connection.close", arguments, until);
    connection(step).send_method(0, encoded(protocol::ConnectionCloseOk{}), deadline());
    return expect_end(step, until);
  }
  expect_method(step, std::move(arguments), until);
}

void ScriptRun::expect_method(const Step& step, std::vector<Argument> arguments, Deadline until) {
  if (!is_method(step.verb)) throw StepError("no such method or expectation: " + step.verb);
  const bool among = step.direction == Direction::ExpectAmong;
  Captures captures;
  const auto on_channel = [&](const Received& received) {
    return !received.heartbeat && (!step.channel || received.channel == *step.channel);
  };
  const auto differs = [&](const Received& received) {
    captures.clear();
    return method_mismatch(received.method, received.content.get(), arguments, variables_,
                           captures);
  };
  const auto wanted = [&](const Received& received) {
    if (!on_channel(received)) return false;
    return !among || (received.name() == step.verb && !differs(received));
  };
  const Received received = connection(step).take(wanted, until, step.verb);
  if (received.name() != step.verb) {
    throw StepError("expected " + describe(step) + "\nreceived " + received.text());
  }
  if (const auto text = differs(received)) throw StepError(*text + "\nreceived " + received.text());
  cleanup_.note_received(received.method);
  store(captures);
}

Received ScriptRun::expect_close(const Step& step, std::string_view name,
                                 const std::vector<Argument>& arguments, Deadline until) {
  Captures captures;
  const auto next = [&](const Received& received) {
    return !received.heartbeat &&
           (!step.channel || received.channel == *step.channel || received.channel == 0);
  };
  Received received = connection(step).take(next, until, std::string(name));
  if (received.name() != name)
    throw StepError("expected " + std::string(name) + "\nreceived " + received.text());
  if (const auto text =
          method_mismatch(received.method, nullptr, arguments, variables_, captures)) {
    throw StepError(*text + "\nreceived " + received.text());
  }
  store(captures);
  return received;
}

// The answer to a call: the method of the same name with -ok.
void ScriptRun::expect_reply(const Step& step) {
  Step reply;
  reply.connection = step.connection;
  reply.channel = channel_of(step, step.verb);
  reply.direction = Direction::Expect;
  reply.verb = step.verb + "-ok";
  expect_method(reply, {}, deadline());
}

// Proved by round trips, not by waiting: first every other channel's, so that what they caused has
// happened, then this one's, so that it has arrived. nothing queue=$q makes the round trips pass
// through that queue.
void ScriptRun::expect_nothing(const Step& step, const std::vector<Argument>& arguments) {
  std::string queue;
  for (const Argument& argument : arguments) {
    if (argument.name != "queue")
      throw StepError("nothing knows queue=NAME only, not " + argument.name);
    queue = text_of(argument.value, variables_);
  }
  for (auto& [name, other] : connections_) {
    if (name == step.connection || other->closing() || other->forgotten()) continue;
    for (const std::uint16_t channel : std::set<std::uint16_t>(other->open_channels()))
      sync(*other, channel, queue);
  }
  Connection& from = connection(step);
  if (from.open_channels().empty()) {
    open_channel(from, kSpareChannel, deadline());
    call<protocol::ChannelCloseOk>(from, kSpareChannel, protocol::ChannelClose{}, deadline());
  }
  for (const std::uint16_t channel : std::set<std::uint16_t>(from.open_channels()))
    sync(from, channel, queue);
  if (const std::string text = unread(from, from.inbox(), step); !text.empty()) {
    throw StepError("expected nothing" + text);
  }
}

void ScriptRun::expect_raw(const Step& step, const std::vector<Argument>& arguments,
                           Deadline until) {
  const ByteVector expected = raw_bytes(arguments, variables_);
  Connection& from = connection(step);
  if (const std::string text = unread(from, from.inbox(), step); !text.empty()) {
    throw StepError("expected raw bytes, but frames are unread" + text);
  }
  while (from.socket().buffered().size() < expected.size()) {
    if (from.socket().read_more(until) != Socket::Read::Data) break;
  }
  const auto bytes = from.socket().buffered();
  if (bytes.size() < expected.size() ||
      !std::equal(expected.begin(), expected.end(), bytes.begin())) {
    std::string text = "received";
    constexpr char kDigits[] = "0123456789abcdef";
    for (const std::uint8_t byte : bytes.first(std::min<std::size_t>(bytes.size(), 64))) {
      text += std::string(" ") + kDigits[byte >> 4] + kDigits[byte & 15];
    }
    throw StepError(text);
  }
  from.socket().consume(expected.size());
}

void ScriptRun::expect_end(const Step& step, Deadline until) {
  Connection& from = connection(step);
  if (!from.read_to_end(until)) {
    throw StepError("expected the end of the stream\nreceived nothing in time" +
                    unread(from, from.inbox(), step));
  }
  if (const std::string text = unread(from, from.inbox(), step); !text.empty()) {
    throw StepError("expected the end of the stream" + text);
  }
  if (!from.socket().buffered().empty()) throw StepError("the stream ended inside a frame");
  from.forget();
}

// confirms 1-5: acks, coalesced in any way, until each of the tags has been confirmed once.
void ScriptRun::expect_confirms(const Step& step, const std::vector<Argument>& arguments,
                                Deadline until) {
  if (arguments.size() != 1) throw StepError("confirms needs a range of tags: 1-5");
  const std::string range = text_of(arguments.front().value, variables_);
  const std::size_t dash = range.find('-');
  const auto number = [](const std::string& digits) { return std::stoull(digits); };
  const std::uint64_t first = number(range.substr(0, dash));
  const std::uint64_t last = dash == std::string::npos ? first : number(range.substr(dash + 1));
  std::set<std::uint64_t> open;
  for (std::uint64_t tag = first; tag <= last; ++tag) open.insert(open.end(), tag);
  while (!open.empty()) {
    const auto next = [&](const Received& received) {
      return !received.heartbeat && (!step.channel || received.channel == *step.channel);
    };
    const Received received = connection(step).take(next, until, "basic.ack");
    const auto* ack = std::get_if<protocol::BasicAck>(&received.method);
    if (ack == nullptr) throw StepError("expected basic.ack\nreceived " + received.text());
    if (!ack->multiple) {
      if (open.erase(ack->delivery_tag) == 0)
        throw StepError("confirmed twice or never sent: " + received.text());
      continue;
    }
    if (ack->delivery_tag > last) throw StepError("confirmed but never sent: " + received.text());
    open.erase(open.begin(), open.upper_bound(ack->delivery_tag));
  }
}

}  // namespace harrier::scripts
