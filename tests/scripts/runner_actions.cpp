// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "protocol/codec.hpp"
#include "tests/scripts/runner_script.hpp"

namespace harrier::scripts {
namespace {

using protocol::FrameType;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_hex(ByteVector& out, const std::string& word) {
  if (word.size() % 2 != 0) throw StepError("an odd number of hexadecimal digits: " + word);
  for (std::size_t i = 0; i < word.size(); i += 2) {
    const int high = hex_digit(word[i]);
    const int low = hex_digit(word[i + 1]);
    if (high < 0 || low < 0) throw StepError("not hexadecimal: " + word);
    out.push_back(static_cast<std::uint8_t>(high * 16 + low));
  }
}

void set_login_field(Login& login, const Argument& argument, Variables& variables) {
  const std::string& name = argument.name;
  if (argument.op != Operator::Equals) throw StepError("an option is name=value, not " + name);
  if (name == "user")
    login.user = text_of(argument.value, variables);
  else if (name == "password")
    login.password = text_of(argument.value, variables);
  else if (name == "vhost")
    login.vhost = text_of(argument.value, variables);
  else if (name == "mechanism")
    login.mechanism = text_of(argument.value, variables);
  else if (name == "client_properties")
    login.client_properties = table_bytes(argument.value, variables);
  else if (name == "frame_max")
    login.frame_max = number_of(argument.value, variables);
  else if (name == "channel_max")
    login.channel_max = number_of(argument.value, variables);
  else if (name == "heartbeat")
    login.heartbeat = number_of(argument.value, variables);
  else
    throw StepError("no such option: " + name);
}

const Argument* find_argument(const std::vector<Argument>& arguments, std::string_view name) {
  for (const Argument& argument : arguments) {
    if (argument.name == name) return &argument;
  }
  return nullptr;
}

}  // namespace

ByteVector raw_bytes(const std::vector<Argument>& arguments, Variables& variables) {
  ByteVector out;
  for (const Argument& argument : arguments) {
    if (argument.op != Operator::Positional)
      throw StepError("raw takes hexadecimal words and quoted texts");
    const std::string text = text_of(argument.value, variables);
    const auto* written = std::get_if<Text>(&argument.value.of);
    if (written != nullptr && !written->quoted) {
      append_hex(out, text);
    } else {
      out.insert(out.end(), text.begin(), text.end());
    }
  }
  return out;
}

void ScriptRun::act(const Step& step) {
  if (step.verb == "connect" || step.verb == "login" || step.verb == "open") return open(step);
  if (act_on_connection(step)) return;
  if (step.verb == "frame") return send_frame(step);
  if (step.verb == "content-header" || step.verb == "content-body") return send_content_part(step);
  send_method(step);
}

// connect: TCP only; login: up to connection.open-ok; open: and channel 1 (or the one named).
void ScriptRun::open(const Step& step) {
  const auto note = [this](std::string line) { transcript_.push_back(std::move(line)); };
  auto made =
      std::make_unique<Connection>(step.connection, target_.host, target_.port, deadline(), note);
  Connection& to = *(connections_[step.connection] = std::move(made));
  if (step.verb == "connect") return;
  Login login = default_login(target_);
  for (const Argument& argument : step.arguments) set_login_field(login, argument, variables_);
  log_in(to, login, deadline());
  if (step.verb == "open") open_channel(to, step.channel.value_or(1), deadline());
}

bool ScriptRun::act_on_connection(const Step& step) {
  Connection& to = connection(step);
  if (step.verb == "protocol-header") {
    to.send_bytes(ByteVector(protocol::kProtocolHeader.begin(), protocol::kProtocolHeader.end()),
                  deadline());
  } else if (step.verb == "raw") {
    to.send_bytes(raw_bytes(step.arguments, variables_), deadline());
  } else if (step.verb == "heartbeat") {
    to.send_frame(static_cast<std::uint8_t>(FrameType::Heartbeat), 0, {}, deadline());
  } else if (step.verb == "hold") {
    to.hold();
  } else if (step.verb == "flush") {
    to.flush(deadline());
  } else if (step.verb == "shutdown") {
    to.socket().shutdown_sending();
  } else if (step.verb == "drop") {
    to.forget();
    to.socket().reset();
  } else if (step.verb == "close") {
    close(to);
  } else if (step.verb == "sync") {
    const Argument* queue = find_argument(step.arguments, "queue");
    sync(to, step.channel.value_or(1),
         queue == nullptr ? std::string() : text_of(queue->value, variables_));
  } else {
    return false;
  }
  return true;
}

void ScriptRun::close(Connection& connection) {
  protocol::ConnectionClose request;
  request.reply_code = 200;
  request.reply_text = "bye";
  call<protocol::ConnectionCloseOk>(connection, 0, request, deadline());
}

void ScriptRun::send_method(const Step& step) {
  Connection& to = connection(step);
  std::vector<Argument> arguments = step.arguments;
  const auto content_off =
      std::find_if(arguments.begin(), arguments.end(),
                   [](const Argument& argument) { return argument.name == "content"; });
  const bool with_content = step.verb == "basic.publish" && content_off == arguments.end();
  if (content_off != arguments.end()) {
    if (text_of(content_off->value, variables_) != "none")
      throw StepError("content=none is all that content can be");
    arguments.erase(content_off);
  }
  std::vector<Argument> rest;
  const ByteVector payload = build_method(step.verb, arguments, variables_, rest);
  if (!with_content && !rest.empty())
    throw StepError(step.verb + " has no field " + rest.front().name);
  std::optional<Content> content;
  if (with_content) content = build_content(rest, variables_);

  const std::uint16_t channel = channel_of(step, step.verb);
  protocol::Method method;
  if (decode_method(payload, method) == protocol::DecodeStatus::Ok) {
    cleanup_.note_sent(method);
    // A value that the broker refuses is no limit for the refusal.
    const auto* tune = std::get_if<protocol::ConnectionTuneOk>(&method);
    if (tune != nullptr && (tune->frame_max == 0 || tune->frame_max >= kFrameMaxSmallest)) {
      to.set_frame_max(tune->frame_max);
    }
  }
  to.send_method(channel, payload, deadline());
  if (!content) return;
  to.send_header(channel, *content, deadline());
  to.send_body(channel, content->body, deadline());
}

// frame type=2 channel=1 payload=x"..." [size=N] [end=N]; size and end_octet may lie.
void ScriptRun::send_frame(const Step& step) {
  std::uint64_t type = 1;
  std::uint64_t channel = step.channel.value_or(1);
  std::optional<std::uint64_t> size;
  std::uint64_t end_octet = protocol::kFrameEnd;
  std::string payload;
  for (const Argument& argument : step.arguments) {
    if (argument.name == "type")
      type = number_of(argument.value, variables_);
    else if (argument.name == "channel")
      channel = number_of(argument.value, variables_);
    else if (argument.name == "size")
      size = number_of(argument.value, variables_);
    else if (argument.name == "end_octet")
      end_octet = number_of(argument.value, variables_);
    else if (argument.name == "payload")
      payload = text_of(argument.value, variables_);
    else if (argument.name == "payload_size")
      payload = std::string(number_of(argument.value, variables_), 'x');
    else
      throw StepError("a frame has no " + argument.name);
  }
  if (type > 255 || channel > 65535 || end_octet > 255)
    throw StepError("type, channel or end_octet is too large");
  ByteVector bytes(protocol::kFrameOverhead + payload.size());
  std::uint8_t* out = protocol::put_frame_header(bytes.data(), static_cast<FrameType>(type),
                                                 static_cast<std::uint16_t>(channel),
                                                 size.value_or(payload.size()));
  out = protocol::put_raw(out, protocol::as_bytes(payload));
  protocol::put_u8(out, static_cast<std::uint8_t>(end_octet));
  transcript_.push_back(step.connection + "." + std::to_string(channel) + " > frame of type " +
                        std::to_string(type));
  connection(step).send_bytes(bytes, deadline());
}

void ScriptRun::send_content_part(const Step& step) {
  const Content content = build_content(step.arguments, variables_);
  const std::uint16_t channel = step.channel.value_or(1);
  if (step.verb == "content-header") {
    connection(step).send_header(channel, content, deadline());
    return;
  }
  // One frame whatever its size, empty ones too: this is for frames that a well-behaved client
  // would not send.
  connection(step).send_frame(static_cast<std::uint8_t>(FrameType::Body), channel, content.body,
                              deadline());
}

// Returns when everything that this channel sent has been handled, by the queue too if one is
// named, and everything that was on its way to the channel has arrived. Neither request changes
// anything but the last declared queue.
void ScriptRun::sync(Connection& connection, std::uint16_t channel, const std::string& queue) {
  if (!queue.empty()) {
    protocol::QueueDeclare declare;
    declare.queue = queue;
    declare.passive = true;
    call<protocol::QueueDeclareOk>(connection, channel, declare, deadline());
  }
  protocol::ChannelFlow flow;
  flow.active = true;
  call<protocol::ChannelFlowOk>(connection, channel, flow, deadline());
}

}  // namespace harrier::scripts
