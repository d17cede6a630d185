// SPDX-License-Identifier: Apache-2.0
//
// x-death = array of table, the latest death first, one for each queue and reason (C-425, C-426)
// table   = count:l reason:S queue:S time:T exchange:S routing-keys:A of S [original-expiration:S]
#include "broker/core/dead_letters.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "protocol/private_headers.hpp"

namespace harrier::broker {

using protocol::FieldValue;
using protocol::PropertiesView;
using protocol::Table;
using protocol::TableView;

namespace {

constexpr std::string_view kDeaths = "x-death";
constexpr std::string_view kCc = "CC";
constexpr std::array<std::string_view, 3> kFirst{"x-first-death-reason", "x-first-death-queue",
                                                 "x-first-death-exchange"};
constexpr std::array<std::string_view, 3> kLast{"x-last-death-reason", "x-last-death-queue",
                                                "x-last-death-exchange"};

std::string_view text_of(TableView table, std::string_view key) {
  const auto value = table.find(key);
  return value ? value->as_text().value_or("") : "";
}

std::vector<TableView> read_deaths(TableView headers) {
  std::vector<TableView> deaths;
  const auto value = headers.find(kDeaths);
  const auto array = value ? value->as_array() : std::nullopt;
  if (!array) return deaths;
  array->for_each([&](const FieldValue& element) {
    if (const auto table = element.as_table()) deaths.push_back(*table);
    return true;
  });
  return deaths;
}

// The values of the header CC that are routing keys (C-313).
std::vector<std::string> cc_keys(TableView headers) {
  std::vector<std::string> keys;
  const auto value = headers.find(kCc);
  const auto array = value ? value->as_array() : std::nullopt;
  if (!array) return keys;
  array->for_each([&](const FieldValue& element) {
    const auto key = element.as_text();
    if (key && key->size() <= 255) keys.emplace_back(*key);
    return true;
  });
  return keys;
}

// Room for the history of one death, unless its names are unusually long.
constexpr std::size_t kHistoryBytes = 640;

// The same entry, once more (C-426).
Table counted_again(TableView death) {
  Table out;
  death.for_each([&](std::string_view key, const FieldValue& value) {
    if (key == "count") {
      out.add_int64(key, value.as_integer().value_or(0) + 1);
    } else {
      out.add_value(key, value);
    }
    return true;
  });
  return out;
}

Table first_death(const protocol::Message& message, const PropertiesView& properties,
                  std::string_view queue, std::string_view reason,
                  const std::vector<std::string>& cc, Millis unix_ms) {
  const FieldValue own_key{'S', protocol::as_bytes(message.routing_key())};
  std::vector<FieldValue> keys;
  if (!cc.empty()) keys.push_back(own_key);
  for (const std::string& key : cc) keys.push_back({'S', protocol::as_bytes(key)});
  Table out;
  out.reserve(kHistoryBytes / 2);
  out.add_int64("count", 1).add("reason", reason).add("queue", queue);
  out.add_timestamp("time", static_cast<std::uint64_t>(std::max<Millis>(unix_ms, 0) / 1000));
  out.add("exchange", message.exchange())
      .add_array("routing-keys",
                 keys.empty() ? std::span(&own_key, 1) : std::span<const FieldValue>(keys));
  if (const auto expiration = properties.text(protocol::kExpiration))
    out.add("original-expiration", *expiration);
  return out;
}

void add_deaths(Table& headers, const Table& latest, const std::vector<TableView>& before) {
  const FieldValue last{'F', latest.view().bytes()};
  if (before.empty()) {
    headers.add_array(kDeaths, {&last, 1});
    return;
  }
  std::vector<FieldValue> deaths{last};
  for (const TableView death : before) deaths.push_back({'F', death.bytes()});
  headers.add_array(kDeaths, deaths);
}

void add_summary(Table& headers, TableView latest, bool is_first) {
  const std::array<std::string_view, 3> values{text_of(latest, "reason"), text_of(latest, "queue"),
                                               text_of(latest, "exchange")};
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (is_first) headers.add(kFirst[i], values[i]);
    headers.add(kLast[i], values[i]);
  }
}

// x-first-death-* stay as the first death wrote them, x-last-death-* follow each (C-424).
Table without_history(TableView headers, bool is_first) {
  Table out;
  out.reserve(headers.bytes().size() + kHistoryBytes);
  headers.for_each([&](std::string_view key, const FieldValue& value) {
    const bool is_history = key == kDeaths || std::ranges::count(kLast, key) > 0 ||
                            (is_first && std::ranges::count(kFirst, key) > 0);
    if (!is_history) out.add_value(key, value);
    return true;
  });
  return out;
}

// A queue is skipped if it stands in the history and no death since then was a rejection: only
// somebody who rejects can keep a message going in circles (C-431).
std::vector<std::string> queues_in_circle(TableView latest, const std::vector<TableView>& before) {
  std::vector<std::string> queues;
  const std::string_view rejected = name(DeathReason::Rejected);
  if (text_of(latest, "reason") == rejected) return queues;
  queues.emplace_back(text_of(latest, "queue"));
  for (const TableView death : before) {
    if (text_of(death, "reason") == rejected) break;
    queues.emplace_back(text_of(death, "queue"));
  }
  return queues;
}

}  // namespace

std::string_view name(DeathReason reason) {
  switch (reason) {
    case DeathReason::Rejected:
      return "rejected";
    case DeathReason::Expired:
      return "expired";
    case DeathReason::MaxLength:
      return "maxlen";
    case DeathReason::DeliveryLimit:
      return "delivery_limit";
  }
  return "";
}

std::vector<std::string> sender_selected_keys(const protocol::Message& message) {
  const PropertiesView properties = message.properties();
  const protocol::PrivateHeaders hidden = protocol::read_private_headers(properties);
  std::vector<std::string> keys;
  if (!hidden.keys_replaced) keys = cc_keys(properties.headers());
  keys.insert(keys.end(), hidden.bcc.begin(), hidden.bcc.end());
  return keys;
}

DeadLetter DeadLetters::letter(const protocol::Message& message, DeathReason reason,
                               Millis unix_ms) const {
  const PropertiesView properties = message.properties();
  protocol::PrivateHeaders hidden = protocol::read_private_headers(properties);
  Table headers = without_history(properties.headers(), !hidden.has_died);
  std::vector<std::string> cc;
  if (!hidden.keys_replaced) cc = cc_keys(properties.headers());

  std::vector<TableView> deaths;  // views of the old message's headers
  if (hidden.has_died) deaths = read_deaths(properties.headers());
  const auto same = std::ranges::find_if(deaths, [&](TableView death) {
    return text_of(death, "queue") == queue_ && text_of(death, "reason") == name(reason);
  });
  Table latest;
  if (same != deaths.end()) {
    latest = counted_again(*same);
    deaths.erase(same);
  } else {
    latest = first_death(message, properties, queue_, name(reason), cc, unix_ms);
  }
  add_deaths(headers, latest, deaths);
  add_summary(headers, latest, !hidden.has_died);

  DeadLetter letter;
  letter.vhost = vhost_;
  letter.queues_past = queues_in_circle(latest, deaths);
  if (!routing_key_) {
    letter.extra_keys = std::move(cc);
    letter.extra_keys.insert(letter.extra_keys.end(), hidden.bcc.begin(), hidden.bcc.end());
  } else {
    hidden.bcc.clear();
    hidden.keys_replaced = true;
  }
  hidden.has_died = true;
  std::vector<std::uint8_t> edited = with_private_headers(properties, std::move(headers), hidden);
  if (properties.has(protocol::kExpiration))  // C-427
    edited = PropertiesView::trusted(edited).without(protocol::kExpiration);
  letter.message = protocol::Message::create(
      exchange_, routing_key_ ? std::string_view(*routing_key_) : message.routing_key(), edited,
      message.body());
  return letter;
}

}  // namespace harrier::broker
