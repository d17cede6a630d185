// SPDX-License-Identifier: Apache-2.0
//
// From the first byte to connection.open-ok (conformance 1.1 to 1.5).
#include <algorithm>
#include <array>

#include "broker/core/engine.hpp"
#include "broker/core/session.hpp"

namespace harrier::broker {

using protocol::ByteView;
using protocol::Frame;
using protocol::FrameType;
using protocol::ReplyCode;
using protocol::TableView;

namespace {

// What we say that we can do (C-016), and do.
constexpr std::array kCapabilities = {
    "publisher_confirms",           "exchange_exchange_bindings", "basic.nack",
    "consumer_cancel_notify",       "connection.blocked",         "consumer_priorities",
    "authentication_failure_close", "per_consumer_qos",           "direct_reply_to",
};

protocol::AmqpError no_access(const std::string& vhost, const std::string& user) {
  return {ReplyCode::NotAllowed, "access to vhost '" + vhost + "' refused for user '" + user + "'"};
}

bool is_true(const TableView& table, std::string_view key) {
  const auto value = table.find(key);
  return value && value->as_bool().value_or(false);
}

// 0 is "no limit", which is more than any number (C-043).
bool within(std::uint32_t value, std::uint32_t limit) {
  return limit == 0 || (value != 0 && value <= limit);
}

}  // namespace

std::size_t Session::receive_header(ByteView input) {
  if (input.size() < protocol::kProtocolHeader.size()) return 0;
  const ByteView header = input.first(protocol::kProtocolHeader.size());
  constexpr std::array<std::uint8_t, 8> kOldForm = {'A', 'M', 'Q', 'P', 1, 1, 0, 9};  // C-002
  if (std::ranges::equal(header, protocol::kProtocolHeader) ||
      std::ranges::equal(header, kOldForm)) {
    phase_ = Phase::Starting;
    send_start();
  } else {
    refuse_header();
  }
  return header.size();
}

// Anything else, be it HTTP, TLS or AMQP 1.0: say what we speak and hang up (C-003..C-005).
void Session::refuse_header() {
  output_.append_copy(protocol::kProtocolHeader);
  close_tcp();
}

protocol::Table Session::server_properties() const {
  const CoreOptions& options = engine_.options();
  protocol::Table capabilities;
  for (const char* capability : kCapabilities) capabilities.add_bool(capability, true);
  protocol::Table properties;
  properties.add_table("capabilities", capabilities);
  properties.add("cluster_name", options.cluster_name);
  properties.add("copyright", "Copyright (c) the Harrier authors");
  properties.add("information", "Licensed under the Apache License 2.0");
  properties.add("platform", "C++20");
  properties.add("product", options.product);
  properties.add("version", options.version);
  options.server_properties.view().for_each(
      [&](std::string_view key, const protocol::FieldValue& value) {
        properties.remove(key).add_value(key, value);
        return true;
      });
  return properties;
}

void Session::send_start() {
  const protocol::Table properties = server_properties();
  const std::string mechanisms = sasl_mechanisms(engine_.world().sasl);
  protocol::ConnectionStart start;
  start.version_major = 0;
  start.version_minor = 9;
  start.server_properties = properties.view();
  start.mechanisms = mechanisms;
  start.locales = "en_US";
  send(0, start);
}

// In these phases most mistakes are answered by silence and, after a while, the end of TCP (C-035,
// C-083, C-101).
void Session::on_handshake_frame(const Frame& frame) {
  if (frame.type == static_cast<std::uint8_t>(FrameType::Heartbeat) && phase_ == Phase::Opening)
    return;
  const auto id = protocol::peek_method(frame.payload);
  if (frame.channel != 0 || frame.type != static_cast<std::uint8_t>(FrameType::Method) || !id) {
    close_silently();
    return;
  }
  protocol::Method method;
  if (protocol::decode_method(frame.payload, method) != protocol::DecodeStatus::Ok) {
    close_silently();
    return;
  }
  guarded(0, *id, [&] {
    if (phase_ == Phase::Starting && std::holds_alternative<protocol::ConnectionStartOk>(method)) {
      on_start_ok(std::get<protocol::ConnectionStartOk>(method));
    } else if (phase_ == Phase::Tuning &&
               std::holds_alternative<protocol::ConnectionTuneOk>(method)) {
      on_tune_ok(std::get<protocol::ConnectionTuneOk>(method));
    } else if (phase_ == Phase::Opening &&
               std::holds_alternative<protocol::ConnectionOpen>(method)) {
      on_open(std::get<protocol::ConnectionOpen>(method));
    } else if (phase_ == Phase::Opening) {
      throw protocol::AmqpError(ReplyCode::ChannelError,
                                "unexpected method in connection state opening");
    } else {
      close_silently();
    }
  });
}

void Session::on_start_ok(const protocol::ConnectionStartOk& method) {
  const TableView properties = method.client_properties;
  if (const auto value = properties.find("capabilities"); value && value->as_table()) {
    const TableView capabilities = *value->as_table();
    can_close_on_login_failure_ = is_true(capabilities, "authentication_failure_close");
    can_cancel_notify_ = is_true(capabilities, "consumer_cancel_notify");
    can_be_blocked_ = is_true(capabilities, "connection.blocked");
  }
  const auto product = properties.find("product");
  const std::string_view client = product ? product->as_text().value_or("") : "";
  const QosUpdatesConsumers setting = engine_.options().qos_updates_consumers;
  qos_updates_consumers_ =
      setting == QosUpdatesConsumers::Always ||
      (setting == QosUpdatesConsumers::Auto && (client == "py-amqp" || client == "librabbitmq"));

  mechanism_ = std::string(method.mechanism);
  const SaslSettings& sasl = engine_.world().sasl;
  const auto mechanism = find_sasl_mechanism(mechanism_, sasl);
  const auto credentials =
      mechanism ? read_sasl_response(*mechanism, method.response, sasl) : std::nullopt;
  if (!credentials) {
    engine_.log(2, name() + ": " +
                       (mechanism ? "malformed SASL response"
                                  : "unknown SASL mechanism '" + mechanism_ + "'"));
    close_silently();
    return;
  }
  const auto user = engine_.authenticator().log_in(*credentials, peer_.address);
  if (!user) {
    engine_.log(
        2, name() + ": login of user '" + credentials->user + "' refused (" + mechanism_ + ")");
    refuse_login(mechanism_);
    return;
  }
  user_ = *user;
  phase_ = Phase::Tuning;
  protocol::ConnectionTune tune;
  tune.channel_max = engine_.options().channel_max;
  tune.frame_max = engine_.options().frame_max;
  tune.heartbeat = engine_.options().heartbeat_s;
  send(0, tune);
}

// The text says neither whether user or password was wrong nor that only loopback may (C-032,
// C-033).
void Session::refuse_login(std::string_view mechanism) {
  if (!can_close_on_login_failure_) {
    close_silently();
    return;
  }
  close_connection(ReplyCode::AccessRefused,
                   "Login was refused using authentication mechanism " + std::string(mechanism) +
                       ". For details see the broker logfile.",
                   {});
}

void Session::on_tune_ok(const protocol::ConnectionTuneOk& method) {
  const CoreOptions& options = engine_.options();
  const protocol::MethodId tune = protocol::ConnectionTune::kId;  // C-047 names tune, not tune-ok
  const auto refuse = [&](std::string_view what, std::string value, bool low, std::uint32_t bound) {
    throw protocol::AmqpError(ReplyCode::NotAllowed,
                              "negotiated " + std::string(what) + " = " + value +
                                  (low ? " is lower than the minimum allowed value ("
                                       : " is higher than the maximum allowed value (") +
                                  std::to_string(bound) + ")",
                              tune);
  };
  if (method.frame_max != 0 && method.frame_max < options.frame_max_min) {
    refuse("frame_max", std::to_string(method.frame_max), true, options.frame_max_min);
  }
  if (!within(method.frame_max, options.frame_max)) {
    refuse("frame_max", std::to_string(method.frame_max), false, options.frame_max);
  }
  if (!within(method.channel_max, options.channel_max)) {
    refuse("channel_max",
           method.channel_max == 0 ? "0 (no limit)" : std::to_string(method.channel_max), false,
           options.channel_max);
  }
  frame_max_ = method.frame_max;
  channel_max_ = method.channel_max;
  heartbeat_s_ = method.heartbeat;
  phase_ = Phase::Opening;
  if (heartbeat_s_ != 0) {
    next_send_look_ = engine_.now() + Millis{heartbeat_s_} * 500;
    next_receive_look_ = engine_.now() + Millis{heartbeat_s_} * 1000;
    arm_timers();
  }
}

// In the order of C-055: the virtual host's limit before the user's.
void Session::claim_connection(const VhostView& vhost) {
  const Quota& of_vhost = vhost.profile->connections;
  auto vhost_claim = of_vhost.claim();
  if (!vhost_claim) {
    throw protocol::AmqpError(ReplyCode::NotAllowed,
                              "access to vhost '" + vhost.name + "' refused for user '" +
                                  user_.name + "': connection limit (" +
                                  std::to_string(*of_vhost.max) + ") is reached");
  }
  const Quota of_user = engine_.authenticator().quotas(user_).connections;
  auto user_claim = of_user.claim();
  if (!user_claim) {
    throw protocol::AmqpError(ReplyCode::NotAllowed, "connection refused for user '" + user_.name +
                                                         "': user connection limit (" +
                                                         std::to_string(*of_user.max) +
                                                         ") is reached");
  }
  vhost_claim_ = *std::move(vhost_claim);
  user_claim_ = *std::move(user_claim);
}

void Session::on_new_users() {
  if (phase_ != Phase::Running) return;  // the handshake asks when it gets there
  access_.grant(engine_.authenticator().access(user_, vhost_->name), user_.name, vhost_->name);
}

void Session::on_open(const protocol::ConnectionOpen& method) {
  const std::string vhost(method.virtual_host);
  const std::uint32_t limit = engine_.options().connections_max;
  if (engine_.world().connection_count() > limit) {
    throw protocol::AmqpError(ReplyCode::NotAllowed, "connection refused: node connection limit (" +
                                                         std::to_string(limit) + ") is reached");
  }
  VhostView* view = engine_.find_vhost(vhost);
  if (view == nullptr)
    throw protocol::AmqpError(ReplyCode::NotAllowed, "vhost " + vhost + " not found");
  claim_connection(*view);
  VhostAccess granted = engine_.authenticator().access(user_, vhost);
  if (!granted.allowed) throw no_access(vhost, user_.name);
  access_.grant(std::move(granted), user_.name, vhost);
  vhost_ = view;
  phase_ = Phase::Running;
  phase_deadline_ = 0;
  arm_timers();
  send(0, protocol::ConnectionOpenOk{});
}

}  // namespace harrier::broker
