// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/stream_client.hpp"

#include <algorithm>
#include <utility>

namespace harrier::simulation {

using protocol::FrameType;
using protocol::Method;

namespace {

constexpr std::size_t kFrameMax = 4'096;

std::string filter_text(unsigned filter) { return "f" + std::to_string(filter); }

}  // namespace

// ---- what must hold ----

void StreamHistory::seen(std::uint64_t offset, std::uint64_t message) {
  ++deliveries;
  const std::string text = "message " + std::to_string(message) + " at " + std::to_string(offset);
  require(message < messages_.size(), text + " was never published");
  require(!messages_[message].withdrawn, text + " was rolled back");
  const auto [at, fresh] = log_.emplace(offset, message);
  require(at->second == message, text + ", where " + std::to_string(at->second) + " was seen");
  const auto [place, first] = where_.emplace(message, offset);
  require(place->second == offset,
          text + " was seen at " + std::to_string(place->second) + ", too");
}

ReaderLog& StreamHistory::new_reader() {
  readers_.push_back(std::make_unique<ReaderLog>());
  return *readers_.back();
}

void StreamHistory::check(const ReaderLog& reader) const {
  if (reader.offsets.empty()) return;
  std::set<std::uint64_t> seen(reader.offsets.begin(), reader.offsets.end());
  require(seen.size() == reader.offsets.size(), "a reader has seen a message twice");
  const std::uint64_t from = reader.from_first ? 0 : reader.offsets.front();
  for (auto at = log_.lower_bound(from); at != log_.end() && at->first <= reader.offsets.back();
       ++at) {
    const bool wanted = !reader.filter || at->second % kFilters == *reader.filter;
    require(wanted || !seen.contains(at->first), "a filter let another message through");
    require(!wanted || retains_ || seen.contains(at->first),
            "a reader has missed offset " + std::to_string(at->first));
  }
}

void StreamHistory::check_at_end(std::uint64_t first, std::uint64_t count) const {
  std::map<std::uint64_t, std::uint64_t> last;  // by publisher
  for (const auto& [offset, message] : log_) {
    std::uint64_t& before = last[messages_[message].publisher];
    require(before <= message, "messages of one channel are in another order");
    before = message;
  }
  for (std::uint64_t offset = first; offset < first + count; ++offset)
    require(log_.contains(offset), "nobody has seen offset " + std::to_string(offset));
  require(log_.empty() || log_.rbegin()->first < first + count,
          "an offset beyond the end was seen");
  for (std::uint64_t message = 0; message < messages_.size(); ++message) {
    require(retains_ || !messages_[message].confirmed || where_.contains(message),
            "message " + std::to_string(message) + " was confirmed and is lost");
  }
  for (const auto& reader : readers_) check(*reader);
}

// ---- the client ----

LogClient::LogClient(World& world, StreamHistory& history, Dice& dice, Role role,
                     std::uint64_t serial)
    : world_(world),
      history_(history),
      dice_(dice),
      role_(role),
      serial_(serial),
      link_(world.connect()) {
  link_->to_broker.assign(protocol::kProtocolHeader.begin(), protocol::kProtocolHeader.end());
}

template <class M>
void LogClient::send(std::uint16_t channel, const M& method) {
  const std::size_t at = link_->to_broker.size();
  link_->to_broker.resize(at + protocol::frame_size(method));
  protocol::encode_frame(channel, method, link_->to_broker.data() + at);
}

bool LogClient::read(std::size_t size) {
  if (gone_ || link_->to_client.empty()) return false;
  const auto end = link_->to_client.begin() +
                   static_cast<std::ptrdiff_t>(std::min(size, link_->to_client.size()));
  inbox_.insert(inbox_.end(), link_->to_client.begin(), end);
  link_->to_client.erase(link_->to_client.begin(), end);
  std::size_t used = 0;
  while (!gone_) {
    const auto result = protocol::read_frame(protocol::ByteView(inbox_).subspan(used), kFrameMax);
    if (result.status == protocol::FrameStatus::Incomplete) break;
    require(result.status == protocol::FrameStatus::Complete, "the broker sent a malformed frame");
    on_frame(result.frame);
    used += result.size;
  }
  inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(used));
  return true;
}

void LogClient::on_frame(const protocol::Frame& frame) {
  const auto type = static_cast<FrameType>(frame.type);
  if (type == FrameType::Heartbeat) return;
  if (type != FrameType::Method) {
    on_content(frame);
    return;
  }
  Method method;
  require(protocol::decode_method(frame.payload, method) == protocol::DecodeStatus::Ok,
          "the broker sent a method that cannot be decoded");
  frame.channel == 0 ? on_connection_method(method) : on_method(method);
}

void LogClient::on_connection_method(const Method& method) {
  if (std::holds_alternative<protocol::ConnectionStart>(method)) {
    protocol::ConnectionStartOk ok;
    ok.response = std::string_view("\0guest\0guest", 12);
    send(0, ok);
  } else if (const auto* tune = std::get_if<protocol::ConnectionTune>(&method)) {
    protocol::ConnectionTuneOk ok;
    ok.channel_max = tune->channel_max;
    ok.frame_max = kFrameMax;
    send(0, ok);
    send(0, protocol::ConnectionOpen{});
  } else if (std::holds_alternative<protocol::ConnectionOpenOk>(method)) {
    send(1, protocol::ChannelOpen{});
  } else {
    throw Violation("unexpected " + protocol::print(method));
  }
}

void LogClient::on_method(const Method& method) {
  if (std::holds_alternative<protocol::ChannelOpenOk>(method)) {
    set_up();
  } else if (const auto* deliver = std::get_if<protocol::BasicDeliver>(&method)) {
    require(!deliver->redelivered, "a stream delivered something again");
    delivery_tag_ = deliver->delivery_tag;
    header_.clear();
    body_.clear();
  } else if (const auto* ack = std::get_if<protocol::BasicAck>(&method)) {
    auto at = ack->multiple ? unconfirmed_.begin() : unconfirmed_.find(ack->delivery_tag);
    while (at != unconfirmed_.end() && at->first <= ack->delivery_tag) {
      world_.vault().confirmed(at->second, 1);
      history_.confirmed(at->second);
      ++history_.confirms;
      at = unconfirmed_.erase(at);
    }
  } else if (std::holds_alternative<protocol::TxCommitOk>(method)) {
    for (const std::uint64_t message : std::exchange(transaction_, {})) {
      world_.vault().confirmed(message, 1);
      history_.confirmed(message);
      ++history_.confirms;
    }
    committing_ = false;
  } else if (std::holds_alternative<protocol::ChannelClose>(method)) {
    throw Violation("unexpected " + protocol::print(method));
  } else {
    ready_ = true;  // whatever was asked for last
  }
}

void LogClient::set_up() {
  if (role_ == Role::Confirms) send(1, protocol::ConfirmSelect{});
  if (role_ == Role::Commits) send(1, protocol::TxSelect{});
  if (role_ == Role::Reads || role_ == Role::ReadsAll) start_reading();
  if (role_ != Role::Declares) return;
  protocol::Table arguments;
  arguments.add("x-queue-type", "stream");
  if (history_.retains()) arguments.add_int64("x-max-length-bytes", 20'000);
  protocol::QueueDeclare declare;
  declare.queue = kStream;
  declare.durable = true;
  declare.arguments = arguments.view();
  send(1, declare);
}

void LogClient::start_reading() {
  prefetch_ = static_cast<std::uint32_t>(role_ == Role::ReadsAll ? 40 : dice_.between(1, 10));
  protocol::BasicQos qos;
  qos.prefetch_count = static_cast<std::uint16_t>(prefetch_);
  send(1, qos);
  reader_ = &history_.new_reader();
  protocol::Table arguments;
  const std::size_t start = role_ == Role::ReadsAll ? 0 : dice_.below(4);
  tag_ = "c" + std::to_string(serial_);
  if (start == 0) {
    arguments.add("x-stream-offset", "first");
    reader_->from_first = true;
  } else if (start == 1) {
    next_ = dice_.below(200);
    arguments.add_int64("x-stream-offset", static_cast<std::int64_t>(*next_));
  } else if (start == 2) {
    tracks_ = true;
    tag_ = "tracked" + std::to_string(dice_.below(3));
    arguments.add("x-stream-offset", "first");
    arguments.add_bool("x-stream-automatic-offset-tracking", true);
  }
  if (reader_->from_first && !history_.retains()) next_ = 0;
  if (role_ == Role::Reads && !tracks_ && dice_.chance(25)) {
    reader_->filter = static_cast<unsigned>(dice_.below(kFilters));
    arguments.add("x-stream-filter", filter_text(*reader_->filter));
  }
  protocol::BasicConsume consume;
  consume.queue = kStream;
  consume.consumer_tag = tag_;
  consume.arguments = arguments.view();
  send(1, consume);
}

void LogClient::on_content(const protocol::Frame& frame) {
  require(delivery_tag_.has_value(), "content without a delivery");
  if (header_.empty()) {
    header_.assign(frame.payload.begin(), frame.payload.end());
    body_size_ = 0;
    for (const std::uint8_t octet : frame.payload.subspan(4, 8))
      body_size_ = body_size_ << 8 | octet;
  } else {
    body_.insert(body_.end(), frame.payload.begin(), frame.payload.end());
  }
  if (body_.size() < body_size_) return;
  on_delivery(protocol::ByteView(header_).subspan(protocol::kContentHeaderSize), body_);
}

void LogClient::on_delivery(protocol::ByteView header, protocol::ByteView body) {
  const auto properties = protocol::PropertiesView::parse(header);
  require(properties.has_value(), "properties that cannot be read");
  const auto found = properties->headers().find("x-stream-offset");
  require(found && found->as_integer(), "a delivery without an offset");
  const auto offset = static_cast<std::uint64_t>(*found->as_integer());
  history_.seen(offset, Ledger::read_body(body));
  if (next_) {
    const std::string text =
        "offset " + std::to_string(offset) + " came where " + std::to_string(*next_) + " was due";
    require(offset >= *next_, text);
    require(offset == *next_ || reader_->filter || history_.retains(), text);
  } else if (tracks_ && !history_.retains()) {
    require(offset <= history_.done(tag_), "a tag has missed what it had not acknowledged");
  }
  next_ = offset + 1;
  reader_->offsets.push_back(offset);
  held_.emplace(*std::exchange(delivery_tag_, std::nullopt), offset);
  require(held_.size() <= prefetch_, "a reader got more than its prefetch");
}

// ---- what it does ----

void LogClient::act() {
  if (!ready_ || gone_) return;
  if (role_ != Role::Declares && role_ != Role::ReadsAll && dice_.chance(2)) {
    cut();
  } else if (role_ == Role::Confirms || role_ == Role::Commits) {
    if (committing_) return;
    for (std::size_t count = dice_.between(1, 5); count > 0; --count) publish();
    if (role_ == Role::Commits && dice_.chance(40)) commit_or_roll_back();
  } else if (role_ != Role::Declares) {
    acknowledge();
  }
}

void LogClient::publish() {
  const std::uint64_t message = history_.publish(serial_);
  if (role_ == Role::Confirms) {
    unconfirmed_.emplace(++published_, message);
  } else {
    transaction_.push_back(message);
  }
  protocol::BasicPublish method;
  method.routing_key = kStream;
  send(1, method);
  protocol::Table headers;
  headers.add("x-stream-filter-value", filter_text(static_cast<unsigned>(message % kFilters)));
  protocol::Properties properties;
  properties.headers = headers;
  if (message % 2 == 0) properties.delivery_mode = std::uint8_t{2};
  const Bytes encoded = properties.encode();
  const Bytes body = Ledger::body(message);
  const auto frame = [&](FrameType type, const Bytes& payload) {
    Bytes out(payload.size() + protocol::kFrameOverhead);
    auto* at = protocol::put_frame_header(out.data(), type, 1, payload.size());
    protocol::put_u8(protocol::put_raw(at, payload), protocol::kFrameEnd);
    link_->to_broker.insert(link_->to_broker.end(), out.begin(), out.end());
  };
  Bytes header(protocol::kContentHeaderSize);
  protocol::put_content_header(header.data(), protocol::BasicPublish::kId.class_id, body.size());
  header.insert(header.end(), encoded.begin(), encoded.end());
  frame(FrameType::Header, header);
  for (std::size_t at = 0; at < body.size(); at += 4'000) {
    const auto begin = body.begin() + static_cast<std::ptrdiff_t>(at);
    const std::size_t size = std::min<std::size_t>(body.size() - at, 4'000);
    frame(FrameType::Body, Bytes(begin, begin + static_cast<std::ptrdiff_t>(size)));
  }
}

void LogClient::commit_or_roll_back() {
  if (dice_.chance(25)) {
    for (const std::uint64_t message : std::exchange(transaction_, {})) history_.withdrawn(message);
    send(1, protocol::TxRollback{});
    return;
  }
  committing_ = true;
  send(1, protocol::TxCommit{});
}

// Anything that is held, in any way: all of it means the same.
void LogClient::acknowledge() {
  if (held_.empty()) return;
  auto at = held_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(dice_.below(held_.size())));
  const std::uint64_t tag = at->first;
  if (role_ == Role::ReadsAll || dice_.chance(50)) {
    const std::uint64_t last = role_ == Role::ReadsAll ? held_.rbegin()->first : tag;
    send(1, protocol::BasicAck{last, true});
    held_.erase(held_.begin(), held_.upper_bound(last));
  } else {
    dice_.chance(70) ? send(1, protocol::BasicAck{tag, false})
                     : send(1, protocol::BasicNack{tag, false, dice_.chance(50)});
    held_.erase(tag);
  }
  std::uint64_t& done = history_.done(tag_);
  done = std::max(done, held_.empty() ? *next_ : held_.begin()->second);
}

void LogClient::check_at_rest(std::uint64_t first, std::uint64_t count) const {
  if (gone_) return;
  require(unconfirmed_.empty() && !committing_, "a publish was never confirmed");
  if (reader_ == nullptr || !next_ || reader_->filter || held_.size() >= prefetch_) return;
  require(*next_ >= first + count, "a reader with credit is at " + std::to_string(*next_) + " of " +
                                       std::to_string(first + count));
}

}  // namespace harrier::simulation
