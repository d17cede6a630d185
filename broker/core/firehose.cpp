// SPDX-License-Identifier: Apache-2.0
#include "broker/core/firehose.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "protocol/properties.hpp"

namespace harrier::broker {
namespace {

using protocol::FieldValue;
using protocol::Message;
using protocol::MessagePtr;
using protocol::Table;

constexpr std::size_t kKeyMax = 255;

class Texts {
 public:
  void add(std::string_view text) { elements_.add("", text); }
  void add_to(Table& table, std::string_view key) const {
    std::vector<FieldValue> values;
    elements_.view().for_each([&](std::string_view, const FieldValue& value) {
      values.push_back(value);
      return true;
    });
    table.add_array(key, values);
  }

 private:
  Table elements_;
};

Table describe(const protocol::PropertiesView& properties) {
  static constexpr std::array<std::pair<protocol::PropertyFlag, std::string_view>, 10> kTexts{{
      {protocol::kContentType, "content_type"},
      {protocol::kContentEncoding, "content_encoding"},
      {protocol::kCorrelationId, "correlation_id"},
      {protocol::kReplyTo, "reply_to"},
      {protocol::kExpiration, "expiration"},
      {protocol::kMessageId, "message_id"},
      {protocol::kType, "type"},
      {protocol::kUserId, "user_id"},
      {protocol::kAppId, "app_id"},
      {protocol::kClusterId, "cluster_id"},
  }};
  Table table;
  for (const auto& [flag, name] : kTexts) {
    if (const auto text = properties.text(flag)) table.add(name, *text);
  }
  if (properties.has(protocol::kHeaders)) table.add_table("headers", properties.headers());
  if (const auto mode = properties.delivery_mode()) table.add_int32("delivery_mode", *mode);
  if (const auto priority = properties.priority()) table.add_int32("priority", *priority);
  if (const auto time = properties.timestamp()) table.add_timestamp("timestamp", *time);
  return table;
}

MessagePtr copy_of(const Message& message, std::string key, const Texts& routing_keys,
                   const TracePoint& point, const auto& add_more) {
  Table headers;
  headers.add("exchange_name", message.exchange());
  routing_keys.add_to(headers, "routing_keys");
  headers.add_table("properties", describe(message.properties()));
  headers.add("node", point.node);
  headers.add("vhost", point.vhost);
  headers.add("connection", point.connection);
  headers.add_int32("channel", point.channel);
  headers.add("user", point.user);
  add_more(headers);
  protocol::Properties properties;
  properties.headers = std::move(headers);
  if (key.size() > kKeyMax) key.resize(kKeyMax);
  return Message::create(kTraceExchange, key, properties.encode(), message.body());
}

}  // namespace

MessagePtr trace_publish(const Message& message, std::span<const std::string> extra_keys,
                         std::span<const std::string> queues, const TracePoint& point) {
  Texts keys;
  keys.add(message.routing_key());
  for (const std::string& key : extra_keys) keys.add(key);
  return copy_of(message, "publish." + std::string(message.exchange()), keys, point,
                 [&](Table& headers) {
                   Texts routed;
                   for (const std::string& queue : queues) routed.add(queue);
                   routed.add_to(headers, "routed_queues");
                 });
}

MessagePtr trace_deliver(const Message& message, std::string_view queue, bool redelivered,
                         const TracePoint& point) {
  Texts keys;
  keys.add(message.routing_key());
  const auto copies = message.properties().headers().find("CC");
  if (const auto more = copies ? copies->as_array() : std::nullopt) {
    more->for_each([&](const FieldValue& key) {
      if (const auto text = key.as_text()) keys.add(*text);
      return true;
    });
  }
  return copy_of(message, "deliver." + std::string(queue), keys, point,
                 [&](Table& headers) { headers.add_int32("redelivered", redelivered ? 1 : 0); });
}

}  // namespace harrier::broker
